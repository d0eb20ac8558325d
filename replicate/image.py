"""One image for each checkpoint: `make image CHECKPOINT=rl`, `make push CHECKPOINT=rl TO=registry/name`.

Wraps `cog build` and `cog push`. The variant of cog.yaml that they are given sets CHECKPOINT; with the weights baked
in, the build may see `weights/<name>` besides. Both files are put back as they were.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicate.checkpoints import CHECKPOINTS, fetch, find
from replicate.errors import ServiceError

ROOT = Path(__file__).resolve().parents[1]
COGLET = "pypi:0.23.1"  # the version that live streaming is tested with; cog alone would let it float upward


def variant(checkpoint: str) -> str:
    """cog.yaml for one checkpoint. The published schema has `environment` as a list of NAME=value."""
    return (ROOT / "cog.yaml").read_text() + f"environment:\n  - CHECKPOINT={checkpoint}\n"


def ignored(checkpoint: str, bake: bool) -> str:
    """.dockerignore, which with `bake` lets the checkpoint's folder through."""
    return (ROOT / ".dockerignore").read_text() + (f"!weights/{checkpoint}\n" if bake else "")


def commands(checkpoint: str, to: str | None) -> list[list[str]]:
    """What is run, one after another, in the repository's root."""
    file = f"cog-{checkpoint}.yaml"
    if to:
        return [["cog", "push", "-f", file, to]]
    return [["cog", "build", "-f", file, "-t", f"deepseek-math:{checkpoint}"]]


@contextmanager
def prepared(checkpoint: str, bake: bool) -> Iterator[None]:
    """The variant's files are there inside the block."""
    config, ignore = ROOT / f"cog-{checkpoint}.yaml", ROOT / ".dockerignore"
    before = ignore.read_text()
    config.write_text(variant(checkpoint))
    ignore.write_text(ignored(checkpoint, bake))
    try:
        yield
    finally:
        ignore.write_text(before)
        config.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds, or with --to pushes, the image of one checkpoint.")
    parser.add_argument("checkpoint", choices=list(CHECKPOINTS))
    parser.add_argument("--to", help="where to push it: registry/name")
    parser.add_argument("--bake", action="store_true", help="put the weights into the image")
    parser.add_argument("--dry-run", action="store_true", help="print the files and commands instead")
    options = parser.parse_args()
    if options.dry_run:
        print(f"# cog-{options.checkpoint}.yaml\n{variant(options.checkpoint)}")
        print(f"# .dockerignore\n{ignored(options.checkpoint, options.bake)}")
        if options.bake:
            print(f"python -m replicate.checkpoints {options.checkpoint}")
        for command in commands(options.checkpoint, options.to):
            print(f"COGLET_WHEEL={COGLET} {shlex.join(command)}")
        return 0
    try:
        if options.bake:
            fetch(find(options.checkpoint))
        with prepared(options.checkpoint, options.bake):
            for command in commands(options.checkpoint, options.to):
                environment = os.environ | {"COGLET_WHEEL": COGLET}
                if status := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
                    return status
    except FileNotFoundError:
        print("cog is not installed: see https://github.com/replicate/cog", file=sys.stderr)
        return 1
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
