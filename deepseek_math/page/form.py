"""What the page asks of the service: the inputs with their bounds, and the checkpoint with what it knows."""

from collections.abc import Mapping
from typing import Any

from deepseek_math.checkpoints.table import CHECKPOINTS
from deepseek_math.inputs import OWN_INPUTS, InputField
from deepseek_math.metrics import METRICS

BY_THE_PAGE = ("prompt", "messages", "return_samples", "logprobs")  # set by itself, or of no use on it
FIRST = ("mode", "samples", "temperature", "max_new_tokens", "seed")  # always in sight
ALONE = ("raw", "fewshot")  # modes whose prompt is one text, with no place for earlier turns
REAL = "rl"  # the checkpoint of the published results


def about(checkpoint: str) -> dict[str, Any]:
    """The page's facts, as JSON."""
    row = CHECKPOINTS.get(checkpoint)
    return {
        "checkpoint": checkpoint,
        "knows": row.knows if row else None,
        "real": f"make chat CHECKPOINT={REAL}",
        "real_size": CHECKPOINTS[REAL].size,
        "base": row.style.base if row else False,
        "alone": ALONE,
        "inputs": [_described(field) for field in OWN_INPUTS if field.name not in BY_THE_PAGE],
        "metrics": METRICS,
    }


def _described(field: InputField) -> Mapping[str, Any]:
    return {
        "name": field.name,
        "kind": field.kind,
        "description": field.description,
        "default": field.default,
        "minimum": field.minimum,
        "maximum": field.highest,
        "choices": field.choices,
        "keys": field.keys,
        "first": field.name in FIRST,
    }
