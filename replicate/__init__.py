"""Prediction service for DeepSeekMath 7B: prompt -> engine -> completion -> metrics, served by Cog."""
