"""`dsm checkpoints` prints the table with what is on disk, `dsm fetch NAME` downloads one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deepseek_math.checkpoints import in_use, store
from deepseek_math.checkpoints.checkpoint_download import partial_folder
from deepseek_math.checkpoints.names import find
from deepseek_math.checkpoints.remote_file import format_bytes
from deepseek_math.checkpoints.table import CHECKPOINTS, TINY, Checkpoint, Local
from deepseek_math.exit_status import exit_status

HEADER = ["CHECKPOINT", "download", "context", "on disk", "last used", "place", "from", "licence"]


def table() -> str:
    """One line a checkpoint: name, about how large, context, what is on disk, when it was used and where it lies,
    source, licence."""
    rows = [HEADER]
    for checkpoint in CHECKPOINTS.values():
        rows.append(_row(checkpoint))
    for name in _others():
        rows.append([name, "-", "-", *_on_disk(store.WEIGHTS / name), "-", "-"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dsm checkpoints", description="Shows the known checkpoints.")
    parser.parse_args(arguments)
    print(table())
    return 0


def fetch_named(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dsm fetch", description="Downloads a checkpoint and prints its path.")
    parser.add_argument("name", help="a name that `dsm checkpoints` shows, hf://owner/name, or an http(s) address")
    parser.add_argument("--accept", action="store_true", help="take files that are not those of the first download")
    options = parser.parse_args(arguments)

    def download() -> None:
        print(store.fetch(find(options.name), accept_changes=options.accept))

    return exit_status(download, "stopped; start again to resume")


def _others() -> list[str]:
    """Folders in weights/ that are not in the table: addresses, complete or partial, and what people have put there."""
    names = set()
    for path in store.WEIGHTS.glob("[!.]*"):
        if path.is_dir() and path != TINY:
            names.add(path.name.removesuffix(".partial"))
    return sorted(names - set(CHECKPOINTS))


def _row(checkpoint: Checkpoint) -> list[str]:
    source = checkpoint.source
    folder = source.path if isinstance(source, Local) else store.WEIGHTS / checkpoint.name
    revision = getattr(source, "revision", None)
    origin = f"{checkpoint.origin}@{revision}" if revision else checkpoint.origin
    return [checkpoint.name, checkpoint.size, str(checkpoint.context), *_on_disk(folder), origin, checkpoint.licence]


def _on_disk(folder: Path) -> list[str]:
    """What is there, when a service used it last, and the place."""
    if folder.exists():
        used = in_use.last_use(folder)
        shown = f"{used:%Y-%m-%d %H:%M}" if used else "-"
        return [f"complete, {format_bytes(disk_bytes(folder))}", shown, str(folder)]
    partial = partial_folder(folder)
    if partial.exists():
        return [f"in part, {format_bytes(disk_bytes(partial))}", "-", str(partial)]
    return ["-", "-", "-"]


def disk_bytes(path: Path) -> int:
    """What the files take up; an unfinished one has holes that take nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        if file.is_file():
            total += min(file.stat().st_size, file.stat().st_blocks * 512)
    return total
