"""Engines that cost nothing: each says the same words at a pace, in the form that an adapter is used to.

`ceiling.py` puts them in a model's place, so that what is left to measure is our own code and Cog's.
"""
