"""Grows the tiny checkpoints, with DeepSeekMath's recipe in small. Never part of the container."""
