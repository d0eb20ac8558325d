"""One image for each checkpoint: `dsm image rl`, `dsm push rl registry/name`.

Wraps `cog build` and `cog push`. The variant of cog.yaml that they are given sets CHECKPOINT; with the weights baked
in, the build may see `weights/<name>` besides. Both files are put back as they were, and one build runs at a time.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from filelock import FileLock, Timeout

from deepseek_math.checkpoints import CHECKPOINTS, Checkpoint, Hub, Local, Wheel, fetch, find
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.signals import run_until_stopped

COGLET = "pypi:0.23.1"  # the version that live streaming is tested with; cog alone would let it float upward


def variant(checkpoint: str) -> str:
    """cog.yaml for one checkpoint. The published schema has `environment` as a list of NAME=value."""
    text = re.sub(r"(?m)^# Which checkpoint:.*\n", "", (ROOT / "cog.yaml").read_text())
    source = CHECKPOINTS[checkpoint].source
    if isinstance(source, Wheel | Local) or (isinstance(source, Hub) and source.file):  # small or GGUF: for the CPU
        text = re.sub(r"(?m)^  gpu: true\n  cuda: .*\n", "  gpu: false\n", text)
    text = text if re.search(r"(?m)^environment:$", text) else text + "environment:\n"  # ENGINE_URL may stand there
    return re.sub(r"(?m)^environment:\n", f"environment:\n  - CHECKPOINT={checkpoint}\n", text)


def ignored(checkpoint: str, bake: bool) -> str:
    """.dockerignore, which with `bake` lets the checkpoint's files through; those of the repository always go along."""
    source = CHECKPOINTS[checkpoint].source
    if isinstance(source, Local):
        return _plain_ignored() + f"!{source.path.relative_to(ROOT).as_posix()}\n"
    return _plain_ignored() + (f"!weights/{checkpoint}\n" if bake else "")


def _plain_ignored() -> str:
    """.dockerignore without what a build that was killed may have left in it."""
    return re.sub(r"(?m)^!weights/(?!README\.md$).*\n", "", (ROOT / ".dockerignore").read_text())


def commands(checkpoint: str, to: str | None) -> list[list[str]]:
    """What is run, one after another, in the repository's root."""
    file = f"cog-{checkpoint}.yaml"
    if to:
        return [["cog", "push", "-f", file, to]]
    return [["cog", "build", "-f", file, "-t", f"deepseek-math:{checkpoint}"]]


@contextmanager
def prepared(checkpoint: str, bake: bool) -> Iterator[None]:
    """The variant's files are there inside the block, which no other build enters at that time."""
    config, ignore = ROOT / f"cog-{checkpoint}.yaml", ROOT / ".dockerignore"
    (ROOT / ".cog").mkdir(exist_ok=True)
    with FileLock(ROOT / ".cog" / "image.lock", timeout=0):
        try:
            config.write_text(variant(checkpoint))
            ignore.write_text(ignored(checkpoint, bake))
            yield
        finally:
            ignore.write_text(_plain_ignored())
            config.unlink(missing_ok=True)


def _named(checkpoint: str) -> Checkpoint:
    """Raises ServiceError: an image has a name of the table."""
    found = find(checkpoint)
    if not found.in_table:
        raise ServiceError("checkpoint_unknown", f"An image takes one of {', '.join(CHECKPOINTS)}, not {checkpoint!r}.")
    return found


def build(arguments: Sequence[str] | None = None) -> int:
    return _command(_parser("image", "Builds the image of one checkpoint with cog."), arguments)


def push(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("push", "Builds the image of one checkpoint with cog and pushes it.")
    parser.add_argument("to", metavar="registry/name", help="where to push it")
    return _command(parser, arguments)


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"dsm {name}", description=description)
    parser.add_argument("checkpoint", help="a name of the table: see `dsm checkpoints`")
    parser.add_argument("--bake", action="store_true", help="put the weights into the image")
    parser.add_argument("--dry-run", action="store_true", help="print the files and commands instead")
    parser.set_defaults(to=None)
    return parser


def _command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    try:
        checkpoint = _named(options.checkpoint)
        return run_until_stopped(lambda: _run(checkpoint, options), "stopped; .dockerignore is as it was")
    except ServiceError as error:
        print(error, file=sys.stderr)
    except Timeout:
        print("Another image is being built in this folder: wait for it.", file=sys.stderr)
    return 1


def _run(checkpoint: Checkpoint, options: argparse.Namespace) -> int:
    name = checkpoint.name
    if options.dry_run:
        print(f"# cog-{name}.yaml\n{variant(name)}")
        print(f"# .dockerignore\n{ignored(name, options.bake)}")
        if options.bake:
            print(f"dsm fetch {name}")
        for command in commands(name, options.to):
            print(f"COGLET_WHEEL={COGLET} {shlex.join(command)}")
        return 0
    if options.bake:
        fetch(checkpoint)
    with prepared(name, options.bake):
        for command in commands(name, options.to):
            try:
                done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COGLET_WHEEL": COGLET}, check=False)
            except FileNotFoundError:
                print("cog is not installed: see https://github.com/replicate/cog", file=sys.stderr)
                return 1
            if done.returncode:
                return done.returncode
    return 0
