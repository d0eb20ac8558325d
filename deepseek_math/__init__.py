"""Prediction service for DeepSeekMath 7B: prompt -> engine -> completion -> metrics, served by Cog."""

__version__ = "0.18.0"
