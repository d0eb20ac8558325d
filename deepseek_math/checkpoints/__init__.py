"""Checkpoints: what they are called, and how their files are downloaded.

A name (`names.py`) means a row (`table.py`). `store.py` returns its folder; where that does not exist,
`checkpoint_download.py` makes it: the source lists the files and downloads them (`hub.py`, `web.py` with `ranges.py`,
`wheel.py`), each is checked (`file_digests.py`), what came is held against the first download (`lock_file.py`), and
the folder gets its name. `in_use.py` knows who uses it, `removal.py` removes it.
"""

from deepseek_math.checkpoints.checkpoint_folder import digest
from deepseek_math.checkpoints.names import find
from deepseek_math.checkpoints.store import fetch, fetch_tokenizer, hold
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
    "hold",
]
