"""An OpenAI-compatible completions server elsewhere."""
