"""A checkpoint's folder: what an engine loads of it, whether it is complete, and what tells it from another."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from deepseek_math.errors import ServiceError

NOTES = "source.json"  # in a downloaded checkpoint's folder: what it is, for people and for the next start
BLOCKS, BLOCK = 64, 1 << 16  # `digest` reads so many blocks of a file, evenly spaced, of so many bytes each
NAMED = 5  # files that a message names at most


def loadable(folder: Path) -> Path:
    """The path that an engine loads: the folder itself, or the GGUF file in it (the first split). Raises
    ServiceError."""
    ggufs = sorted(folder.glob("*.gguf"))
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if (folder / "config.json").exists() and (weights or not ggufs):
        return folder
    first_splits = [path for path in ggufs if "-00001-of-" in path.name]
    candidates = first_splits or ggufs
    if len(candidates) != 1:
        raise ServiceError(
            "checkpoint_unusable",
            f"{folder} has no config.json and {len(candidates)} GGUF files, so there is nothing to load: "
            f"{_contents(folder)}.",
        )
    _require_splits(candidates[0])
    return candidates[0]


def local_path(path: Path) -> Path:
    """The path that an engine loads of a file or folder that is never downloaded. Raises ServiceError."""
    if not path.exists():  # a row of the table: each image holds its own checkpoint alone
        raise ServiceError(
            "checkpoint_unusable",
            f"{path} does not exist. It is part of the repository, and only of the image made for it: "
            "make image CHECKPOINT=tiny-base, for one.",
        )
    if path.is_dir():
        return loadable(path)
    if path.suffix != ".gguf":
        raise ServiceError(
            "checkpoint_unusable",
            f"{path} is a file whose name does not end in .gguf. Give a .gguf file, or the folder of a checkpoint.",
        )
    _require_splits(path)
    return path


def notes(folder: Path) -> dict[str, Any]:
    """What a download has noted in its folder; empty where there is nothing. Raises ServiceError."""
    file = folder / NOTES
    try:
        found = dict(json.loads(file.read_text()))
        dict(found.get("sizes", {}))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ServiceError(
            "checkpoint_unusable", f"{file} can't be read. Remove {folder} to download it again."
        ) from error
    return found


def require_complete(folder: Path) -> dict[str, Any]:
    """The folder's notes, empty where it has none. Raises ServiceError where a file's size is not the noted one."""
    noted = notes(folder)
    for name, size in noted.get("sizes", {}).items():
        path = folder / name
        if not path.exists():
            found = "it is gone"
        elif path.stat().st_size != size:
            found = f"it has {path.stat().st_size} bytes"
        else:
            continue
        raise ServiceError(
            "checkpoint_unusable",
            f"{path} had {size} bytes when it was downloaded, and now {found}. Remove {folder} to download it again.",
        )
    return noted


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each of its files, by path. Hidden files are not part of a checkpoint, nor are the notes."""
    found = {}
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file() and path.name != NOTES:
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def digest(path: Path) -> str:
    """16 hexadecimal digits that tell the file or folder that an engine loads from another of the same name.

    NOTE: of a file over 4 MiB only 64 blocks count, and its size, so that it takes a moment for 14 GB as well: training
    changes those too, but a change of a few bytes may go unseen.
    """
    content = hashlib.sha256()
    if path.is_file():
        _add_blocks(content, path, "")
    else:
        for name in sizes(path):
            _add_blocks(content, path / name, name)
    return content.hexdigest()[:16]


def _add_blocks(content: Any, file: Path, name: str) -> None:
    size = file.stat().st_size
    content.update(f"{name}\0{size}\0".encode())
    with file.open("rb") as stream:
        for number in range(BLOCKS):
            stream.seek(max(number * BLOCK, number * (size - BLOCK) // (BLOCKS - 1)))
            content.update(stream.read(BLOCK))


def _contents(folder: Path) -> str:
    """What is in the folder, in words."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "it is empty"
    more = " ..." if len(names) > NAMED else ""
    return f"it holds {', '.join(names[:NAMED])}{more}"


def _require_splits(first: Path) -> None:
    """Raises ServiceError where `first` is the first split of a GGUF file and others are missing."""
    found = re.fullmatch(r"(.*-)00001-of-(\d{5})\.gguf", first.name)
    if not found:
        return
    names = [f"{found[1]}{number:05d}-of-{found[2]}.gguf" for number in range(1, int(found[2]) + 1)]
    missing = [name for name in names if not first.with_name(name).exists()]
    if missing:
        raise ServiceError("checkpoint_unusable", f"{first.parent} lacks {', '.join(missing[:NAMED])}.")
