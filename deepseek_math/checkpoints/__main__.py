"""`python -m deepseek_math.checkpoints`: the table, with what is on disk. With a name: fetches that checkpoint."""

import argparse
import sys
from pathlib import Path

from deepseek_math.checkpoints import CHECKPOINTS, Checkpoint, Local, fetch, find, store
from deepseek_math.checkpoints.remote_file import gigabytes
from deepseek_math.checkpoints.table import TINY
from deepseek_math.errors import ServiceError


def table() -> str:
    """One line a checkpoint: name, about how large, context, what is on disk, licence."""
    rows = [["CHECKPOINT", "download", "context", "on disk", "from", "licence"]]
    rows += [_row(checkpoint) for checkpoint in CHECKPOINTS.values()]
    rows += [[name, "-", "-", _on_disk(store.WEIGHTS / name), "-", "-"] for name in _others()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _others() -> list[str]:
    """What lies in weights/ under other names: addresses, whole or in part, and what people have put there."""
    folders = {path for path in store.WEIGHTS.glob("[!.]*") if path.is_dir() and path != TINY}
    return sorted({path.name.removesuffix(".partial") for path in folders} - set(CHECKPOINTS))


def _row(checkpoint: Checkpoint) -> list[str]:
    source = checkpoint.source
    revision = getattr(source, "revision", None)
    return [
        checkpoint.name,
        checkpoint.size,
        str(checkpoint.context),
        _on_disk(source.path if isinstance(source, Local) else store.WEIGHTS / checkpoint.name),
        f"{checkpoint.origin}@{revision}" if revision else checkpoint.origin,
        checkpoint.licence,
    ]


def _on_disk(folder: Path) -> str:
    if folder.exists():
        return f"complete, {gigabytes(_bytes(folder))}"
    partial = folder.with_name(folder.name + ".partial")
    return f"in part, {gigabytes(_bytes(partial))}" if partial.exists() else "-"


def _bytes(folder: Path) -> int:
    """What the files take up; an unfinished one has holes that take nothing."""
    files = folder.rglob("*") if folder.is_dir() else [folder]
    return sum(min(path.stat().st_size, path.stat().st_blocks * 512) for path in files if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description="The known checkpoints; with a name, fetches that one.")
    parser.add_argument("name", nargs="?", help="a name of the table, hf://owner/name, or an http(s) address")
    name = parser.parse_args().name
    if name is None:
        print(table())
        return 0
    try:
        print(fetch(find(name)))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; start again to go on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
