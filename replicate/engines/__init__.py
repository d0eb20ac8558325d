"""The engines and what they promise."""
