"""A tar with a checkpoint's folder inside, unpacked."""

import gzip
import lzma
import os
import shutil
import tarfile
import zlib
from pathlib import Path

from deepseek_math.checkpoints.download_faults import DISK_FULL
from deepseek_math.errors import ServiceError

BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)


def unpack(archive: Path, target: Path) -> Path:
    """Unpacks into `target`, which is emptied first; the one folder that holds a checkpoint. Raises ServiceError, and
    OSError for a full disk."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")  # no member leaves the folder
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        raise ServiceError(
            "checkpoint_unusable",
            f"{archive.name} can't be unpacked: {str(error) or 'it ends too soon'}. Remove {archive.parent} to "
            "download it again.",
        ) from error
    folders = set()
    for path in target.rglob("*"):
        if path.name == "config.json" or path.suffix == ".gguf":
            folders.add(path.parent)
    if len(folders) != 1:
        raise ServiceError("checkpoint_unusable", f"{archive.name} holds {len(folders)} checkpoint folders, not 1.")
    folder = folders.pop()
    _replace_links(folder)
    return folder


def _replace_links(folder: Path) -> None:
    """Replaces a link that leads out of the folder by its file, as in the hub's cache: only the folder is kept."""
    for path in list(folder.rglob("*")):
        if not path.is_symlink():
            continue
        file = path.resolve()
        if file.is_relative_to(folder.resolve()) and file.exists():
            continue
        if not file.is_file():
            raise ServiceError(
                "checkpoint_unusable", f"{path.name} in the tar is a link to a file that the tar does not hold."
            )
        path.unlink()
        os.link(file, path)
