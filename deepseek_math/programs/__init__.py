"""Tool-integrated reasoning: programs that a model writes, run in a sandbox."""
