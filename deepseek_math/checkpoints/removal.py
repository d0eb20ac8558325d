"""`dsm checkpoints remove NAME`: removes what was downloaded, and nothing that was not."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from deepseek_math.checkpoints import checkpoint_folder, in_use, store
from deepseek_math.checkpoints.checkpoint_download import partial_folder
from deepseek_math.checkpoints.command import disk_bytes
from deepseek_math.checkpoints.names import find
from deepseek_math.checkpoints.remote_file import format_bytes, is_plain_path
from deepseek_math.checkpoints.table import TINY, Local
from deepseek_math.errors import ServiceError
from deepseek_math.exit_status import FAILED, exit_status

NAMED = 3  # files that a message names at most
WRITTEN = (checkpoint_folder.NOTES, in_use.MARK)  # by us, beside what was downloaded


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm checkpoints remove", description="Removes a downloaded checkpoint from the disk, once you say yes."
    )
    parser.add_argument("name", help="a name that `dsm checkpoints` shows, or what CHECKPOINT was")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _remove(options.name, options.yes), "stopped; what is left counts as unfinished")


def _remove(name: str, yes: bool) -> int:
    """Raises ServiceError or OSError."""
    folder = _folder(name)
    found = [path for path in (folder, partial_folder(folder)) if path.exists()]
    if not found:
        raise ServiceError("checkpoint_unknown", f"Nothing of {name} is in {store.WEIGHTS}.")
    _require_downloaded(folder)
    size = format_bytes(sum(map(disk_bytes, found)))
    if not yes and not _confirmed(f"Remove {folder.name}, {size} in {folder.parent}? [y/N] "):
        return FAILED
    remove(folder)
    print(f"removed {folder.name}: {size}")
    return 0


def remove(folder: Path) -> None:
    """Removes a checkpoint's folder and what is there of its download. Raises ServiceError where a process uses or
    downloads it, and where something in it was not downloaded."""
    lock = FileLock(store.download_lock(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ServiceError(
            "checkpoint_in_use", f"A process downloads {folder.name}. Stop it, then remove the checkpoint."
        ) from error
    try:
        _require_downloaded(folder)
        partial = partial_folder(folder)
        shutil.rmtree(partial, ignore_errors=True)
        if folder.exists():
            with in_use.alone(folder):
                folder.rename(partial)  # a folder with its name counts as complete, half removed as well
                shutil.rmtree(partial)
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _folder(name: str) -> Path:
    """The folder that is meant, by its own name or by what CHECKPOINT was. Raises ServiceError for one that is never
    downloaded."""
    folder = store.WEIGHTS / name
    own_name = is_plain_path(name) and "/" not in name and folder != TINY
    if own_name and (folder.exists() or partial_folder(folder).exists()):
        return folder
    checkpoint = find(name)
    if isinstance(checkpoint.source, Local):
        raise ServiceError(
            "checkpoint_unusable",
            f"{name} was never downloaded, so nothing was removed: it is {checkpoint.source.path}.",
        )
    return store.WEIGHTS / checkpoint.name


def _require_downloaded(folder: Path) -> None:
    """Raises ServiceError where something in the folder is not as it was downloaded. A partial one holds downloads
    alone."""
    if not folder.exists():
        return
    notes = checkpoint_folder.notes(folder)
    if not notes or folder.is_symlink():
        raise ServiceError(
            "checkpoint_unusable",
            f"{folder} was not downloaded: it is a link, or has no {checkpoint_folder.NOTES}. Remove it by hand.",
        )
    sizes = notes.get("sizes", {})
    own = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in WRITTEN and sizes.get(name) != path.stat().st_size:
            own.append(name)
    if own:
        more = " ..." if len(own) > NAMED else ""
        raise ServiceError(
            "checkpoint_unusable",
            f"{folder} holds what was not downloaded: {', '.join(own[:NAMED])}{more}. Move it elsewhere, or remove the "
            "folder by hand.",
        )


def _confirmed(question: str) -> bool:
    """Asks, and says what a no has come to."""
    if not sys.stdin.isatty():
        print("Nothing was removed: there is no terminal to ask on. Without a question: --yes", file=sys.stderr)
        return False
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was removed.", file=sys.stderr)
    return False
