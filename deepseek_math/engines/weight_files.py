"""The files that hold a checkpoint's weights, as an engine reads them."""

import glob
from pathlib import Path


def weight_files(path: Path) -> list[Path]:
    """In their order: a GGUF file, with the others where it is the first of its splits; of a folder its safetensors,
    or where it has none its .bin files, as transformers chooses."""
    if path.is_dir():
        return sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
    stem, _, count = path.stem.partition("-00001-of-")
    return sorted(path.parent.glob(f"{glob.escape(stem)}-*-of-{count}.gguf")) if count else [path]


def weight_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in weight_files(path))
