"""Trains the tiny checkpoints with DeepSeekMath's recipe in small. The service never imports it, its image lacks it."""

import os

# OpenMP reads it when torch loads it, as for llama.cpp. On a busy machine an idle thread that spins would take a core
# from the thread that it waits for.
os.environ.setdefault("GOMP_SPINCOUNT", "200")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
