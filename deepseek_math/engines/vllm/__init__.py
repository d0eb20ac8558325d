"""vLLM as a child process of the service, for safetensors on GPUs."""
