"""A checkpoint's folder: what in it an engine is given, whether it is whole, what tells it from another, and a tar's
way to one."""

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Any

from deepseek_math.checkpoints.remote_file import FULL
from deepseek_math.errors import ServiceError

NOTES = "source.json"  # in a checkpoint's folder: what it is, for people and for the next start
BLOCKS, BLOCK = 64, 1 << 16  # read of each file for `digest`, evenly spaced; and the bytes of each


def loadable(folder: Path) -> Path:
    """What an engine is given: the folder itself, or the GGUF file in it (the first, where it is split)."""
    ggufs = sorted(folder.glob("*.gguf"))
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if (folder / "config.json").exists() and (weights or not ggufs):
        return folder
    firsts = [path for path in ggufs if "-00001-of-" in path.name] or ggufs
    if len(firsts) != 1:
        held = sorted(path.name for path in folder.iterdir())
        raise ServiceError(
            "checkpoint_unusable",
            f"{folder} holds no config.json and {len(firsts)} GGUF files, so there is nothing to load: it is a folder "
            + (f"with {', '.join(held[:5])}{' ...' if held[5:] else ''}." if held else "with nothing in it."),
        )
    _require_splits(firsts[0])
    return firsts[0]


def given(path: Path) -> Path:
    """What an engine is given of a file or folder that nobody fetches. Raises ServiceError."""
    if not path.exists():  # of the table's own: no other checkpoint's image holds them
        raise ServiceError(
            "checkpoint_unusable",
            f"{path} is not here. It is part of the repository, and of no image but that of its own checkpoint: "
            "make image CHECKPOINT=tiny-rl, for one.",
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


def require_whole(folder: Path) -> dict[str, Any]:
    """The folder's notes, where it has some, once its files have the sizes that stand there. Raises ServiceError."""
    try:
        notes = json.loads((folder / NOTES).read_text())
        sizes = dict(notes.get("sizes", {}))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ServiceError(
            "checkpoint_unusable", f"{folder / NOTES} can't be read. Remove {folder} to download it again."
        ) from error
    for name, size in sizes.items():
        path = folder / name
        found = f"{path.stat().st_size} bytes" if path.exists() else "no longer there"
        if found != f"{size} bytes":
            raise ServiceError(
                "checkpoint_unusable",
                f"{path} had {size} bytes when it was downloaded, and is now: {found}. Remove {folder} to download it "
                "again.",
            )
    return dict(notes)


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in it, by its path. What is hidden is none of the checkpoint's."""
    files = (path for path in sorted(folder.rglob("[!.]*")) if path.is_file() and path.name != NOTES)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def digest(path: Path) -> str:
    """16 hexadecimal digits that tell the file or folder that an engine is given from another of the same name.

    NOTE: of a file over 4 MiB only 64 blocks count, and its size, so that it takes a moment for 14 GB as well: training
    changes those too, but a change of a few bytes may go unseen.
    """
    content = hashlib.sha256()
    for name, size in ({path.name: path.stat().st_size} if path.is_file() else sizes(path)).items():
        file = path if path.is_file() else path / name
        content.update(f"{'' if path.is_file() else name}\0{size}\0".encode())
        with file.open("rb") as stream:
            for number in range(BLOCKS):
                stream.seek(max(number * BLOCK, number * (size - BLOCK) // (BLOCKS - 1)))
                content.update(stream.read(BLOCK))
    return content.hexdigest()[:16]


def unpack(archive: Path, target: Path) -> Path:
    """The folder in the tar that holds a checkpoint. Raises ServiceError."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")  # no member leaves the folder
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise ServiceError(
            "checkpoint_unusable",
            f"{archive.name} can't be unpacked: {str(error) or 'it ends too soon'}. Remove {archive.parent} to fetch "
            "it again.",
        ) from error
    folders = sorted(
        {path.parent for path in target.rglob("*") if path.name == "config.json" or path.suffix == ".gguf"}
    )
    if len(folders) != 1:
        raise ServiceError("checkpoint_unusable", f"{archive.name} holds {len(folders)} checkpoint folders, not 1.")
    _bring_in(folders[0])
    return folders[0]


def _bring_in(folder: Path) -> None:
    """Puts the file itself where a link leads out of the folder, as in the hub's cache: only the folder is kept."""
    for path in [path for path in folder.rglob("*") if path.is_symlink()]:
        file = path.resolve()
        if file.is_relative_to(folder.resolve()) and file.exists():
            continue
        if not file.is_file():
            raise ServiceError("checkpoint_unusable", f"{path.name} in the tar is a link to no file of the tar.")
        path.unlink()
        os.link(file, path)


def _require_splits(first: Path) -> None:
    found = re.fullmatch(r"(.*-)00001-of-(\d{5})\.gguf", first.name)
    if found:
        names = [f"{found[1]}{number:05d}-of-{found[2]}.gguf" for number in range(1, int(found[2]) + 1)]
        absent = [name for name in names if not first.with_name(name).exists()]
        if absent:
            raise ServiceError("checkpoint_unusable", f"{first.parent} lacks {', '.join(absent[:5])}.")
