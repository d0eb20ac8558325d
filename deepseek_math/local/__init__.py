"""Cog's server on this machine without Docker, its client, and the images."""
