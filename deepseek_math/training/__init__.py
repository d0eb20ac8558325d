"""Grows the tiny checkpoints, with DeepSeekMath's recipe in small. Never part of the container."""

import os

# As for llama.cpp (engines/llama_cpp.py): read when torch loads OpenMP. An idle thread that spins would take a busy
# machine's cores from the very thread it waits for.
os.environ.setdefault("GOMP_SPINCOUNT", "200")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
