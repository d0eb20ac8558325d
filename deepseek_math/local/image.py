"""One image for each checkpoint: `dsm image rl`, `dsm push rl registry/name`, either with `--engine vllm`.

Wraps `cog build` and `cog push`. They run in a folder that is made for them and holds what goes into the image, no
more: Cog looks for weights without .dockerignore, and would find those of other checkpoints and of `.venv` too. The
checkpoint is named by a file of the source. As a line of cog.yaml's `environment:` it would stand before the packages,
and the images of two checkpoints would share none of their layers.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from deepseek_math.checkpoints import CHECKPOINTS, Checkpoint, Hub, Local, Wheel, fetch, find, store
from deepseek_math.errors import ServiceError
from deepseek_math.paths import CHECKPOINT_FILE, ENGINE_FILE, ROOT
from deepseek_math.settings import DEFAULT_ENGINE, ENGINES
from deepseek_math.signals import run_until_stopped

COGLET = "pypi:0.23.1"  # the version that live streaming is tested with; cog alone would let it float upward
FOLDER = ROOT / ".cog" / "image"  # where cog is run; beside the weights, so that they can be linked instead of copied
SOURCE = ("deepseek_math", "replicate", "LICENSE-CODE", "weights/tiny/rl.gguf")  # the demo: a smoke test in every image
VLLM_LIST = (
    ROOT / "requirements" / "vllm.txt"
)  # of an environment of its own, which engines/vllm/environment.py looks for
VLLM_STEP = """    # vLLM, in an environment of its own: it pins another torch and other packages than the service.
    - >-
      python -m venv --without-pip "$(python -c 'import sys; print(sys.prefix)')/vllm" &&
      python -m pip --python "$(python -c 'import sys; print(sys.prefix)')/vllm/bin/python"
      install --no-cache-dir --no-deps --only-binary :all:
      {}
"""
CLIENTS = ("bench", "evaluation", "training")  # rooms of the package that the service never imports


def variant(checkpoint: Checkpoint, engine: str = DEFAULT_ENGINE) -> str:
    """cog.yaml for one checkpoint on one engine."""
    text = re.sub(r"(?m)^# Which checkpoint:.*\n", "", (ROOT / "cog.yaml").read_text())
    if not _on_gpu(checkpoint):
        text = re.sub(r"(?m)^  gpu: true\n  cuda: .*\n", "  gpu: false\n", text)
    if engine == "vllm":
        pins = [line for line in VLLM_LIST.read_text().splitlines() if not line.startswith("#")]
        text = text.replace("predict:", VLLM_STEP.format("\n      ".join(pins)) + "predict:")
    return text


def requirements(checkpoint: Checkpoint, engine: str = DEFAULT_ENGINE) -> Path:
    """The list of the service's packages. It needs neither torch nor transformers for llama.cpp, nor for vLLM."""
    apart = _is_gguf(checkpoint) or engine == "vllm"
    return ROOT / ("requirements/llama_cpp.txt" if apart else "requirements.txt")


def _on_gpu(checkpoint: Checkpoint) -> bool:
    """Those that are small or GGUF run on a CPU."""
    return not _is_gguf(checkpoint) and not isinstance(checkpoint.source, Local)


def _is_gguf(checkpoint: Checkpoint) -> bool:
    match checkpoint.source:
        case Hub(file=file):
            return file is not None
        case Local(path=path):
            return path.suffix == ".gguf"
        case source:
            return isinstance(source, Wheel)


def command(checkpoint: Checkpoint, engine: str, to: str | None, bake: bool) -> list[str]:
    """What is run in FOLDER. Weights get a layer of their own, which a change of code does not send again."""
    tag = checkpoint.name if engine == DEFAULT_ENGINE else f"{checkpoint.name}-{engine}"
    what = ["cog", "push", to] if to else ["cog", "build", "-t", f"deepseek-math:{tag}"]
    return [*what, "--separate-weights"] if bake else what


def export(checkpoint: Checkpoint, bake: bool, folder: Path, engine: str = DEFAULT_ENGINE) -> None:
    """Makes `folder`: what goes into the image. With `bake` the checkpoint must have been downloaded."""
    for name in SOURCE:
        _copy(ROOT / name, folder / name, leave_out=("__pycache__", *CLIENTS))
    if isinstance(checkpoint.source, Local):
        _copy(checkpoint.source.path, folder / checkpoint.source.path.relative_to(ROOT))
    elif bake:
        _copy(store.WEIGHTS / checkpoint.name, folder / "weights" / checkpoint.name)
    shutil.copy(requirements(checkpoint, engine), folder / "requirements.txt")
    (folder / "cog.yaml").write_text(variant(checkpoint, engine))
    (folder / CHECKPOINT_FILE.name).write_text(f"{checkpoint.name}\n")
    if engine != DEFAULT_ENGINE:
        (folder / ENGINE_FILE.name).write_text(f"{engine}\n")


def _copy(source: Path, target: Path, leave_out: Sequence[str] = ()) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*leave_out), copy_function=_link)
    elif not target.exists():  # the demo's image has it already
        _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file, or a copy of it where the disk is another one. Docker reads both alike.

    NOTE: of a link, what it leads to: a checkpoint's files may be links into its own folder.
    """
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def prepared(checkpoint: Checkpoint, engine: str, bake: bool) -> Iterator[None]:
    """FOLDER is there inside the block, which no other build enters at that time. Raises Timeout."""
    FOLDER.parent.mkdir(exist_ok=True)
    with FileLock(FOLDER.with_suffix(".lock"), timeout=0):
        shutil.rmtree(FOLDER, ignore_errors=True)  # of a build that was killed
        try:
            export(checkpoint, bake, FOLDER, engine)
            yield
        finally:
            shutil.rmtree(FOLDER, ignore_errors=True)


def _named(checkpoint: str, engine: str) -> Checkpoint:
    """Raises ServiceError: an image has a name of the table, and another engine than the default needs a GPU."""
    found = find(checkpoint)
    if not found.in_table:
        raise ServiceError("checkpoint_unknown", f"An image takes one of {', '.join(CHECKPOINTS)}, not {checkpoint!r}.")
    if engine != DEFAULT_ENGINE and not _on_gpu(found):
        raise ServiceError("setting_invalid", f"ENGINE={engine} is for a GPU, and the image of {found.name} has none.")
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
    parser.add_argument("--engine", choices=ENGINES, default=DEFAULT_ENGINE, help="what runs safetensors in it")
    parser.add_argument("--bake", action="store_true", help="put the weights into the image")
    parser.add_argument("--dry-run", action="store_true", help="print the files and commands instead")
    parser.set_defaults(to=None)
    return parser


def _command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    try:
        checkpoint = _named(options.checkpoint, options.engine)
        return run_until_stopped(lambda: _run(checkpoint, options), "stopped; nothing is left of the build")
    except ServiceError as error:
        print(error, file=sys.stderr)
    except Timeout:
        print("Another image is being built in this folder: wait for it.", file=sys.stderr)
    return 1


def _run(checkpoint: Checkpoint, options: argparse.Namespace) -> int:
    bake = options.bake and not isinstance(checkpoint.source, Local)  # whose files always go along
    called = command(checkpoint, options.engine, options.to, bake)
    if options.dry_run:
        _show(checkpoint, options.engine, bake, called)
        return 0
    if bake:
        fetch(checkpoint)
    with prepared(checkpoint, options.engine, bake):
        try:
            return subprocess.run(called, cwd=FOLDER, env=os.environ | {"COGLET_WHEEL": COGLET}, check=False).returncode
        except FileNotFoundError:
            print("cog is not installed: see https://github.com/replicate/cog", file=sys.stderr)
            return 1


def _show(checkpoint: Checkpoint, engine: str, bake: bool, called: list[str]) -> None:
    print(f"# cog.yaml\n{variant(checkpoint, engine)}")
    print(f"# {CHECKPOINT_FILE.name}\n{checkpoint.name}\n")
    if engine != DEFAULT_ENGINE:
        print(f"# {ENGINE_FILE.name}\n{engine}\n")
    print(f"# requirements.txt: {requirements(checkpoint, engine).relative_to(ROOT)}\n")
    if bake:
        print(f"dsm fetch {checkpoint.name}")
    print(f"cd {FOLDER.relative_to(ROOT)}\nCOGLET_WHEEL={COGLET} {shlex.join(called)}")
