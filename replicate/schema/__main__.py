"""Prints the OpenAPI document of replicate/predict.py."""

from replicate.schema import dumps

print(dumps())
