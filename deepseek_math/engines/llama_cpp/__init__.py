"""llama.cpp in this process, for GGUF files."""
