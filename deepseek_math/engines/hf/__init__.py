"""transformers in this process, for folders of safetensors."""
