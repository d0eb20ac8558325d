"""Picks the engine: `remote` where ENGINE_URL is set, else by the checkpoint's files: a GGUF file runs on llama.cpp, a
safetensors folder on transformers."""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseek_math.engines.protocol import Engine
from deepseek_math.errors import ServiceError
from deepseek_math.installed import require_version
from deepseek_math.settings import Settings


@dataclass(frozen=True, slots=True)
class EngineRow:
    folder: str
    name: str  # of the class
    label: str  # for people
    slots: int | None  # where SLOTS is unset; None: the engine decides by its device
    settings: tuple[str, ...]  # those that are this engine's alone
    needs: tuple[str, ...]  # packages
    package: tuple[str, str] | None = None  # and its version, where the engine touches parts that are not public


LLAMA_CPP = EngineRow("llama_cpp", "LlamaCppEngine", "llama.cpp", 16, ("threads",), ("xllamacpp",))
TRANSFORMERS = EngineRow(
    "hf",
    "TransformersEngine",
    "transformers",
    None,
    ("dtype", "device_map"),
    ("torch", "transformers", "accelerate"),
    ("transformers", "5.23.0"),
)
# CONTEXT alone: a row of the table bounds what is asked of this machine's memory, which is not used.
REMOTE = EngineRow(
    "remote", "RemoteEngine", "a server elsewhere", 64, ("context", "engine_url", "engine_model", "engine_api_key"), ()
)


def open_engine(path: Path, context: int | None, settings: Settings) -> Engine:
    """An engine for the file or folder at `path`, not started yet. `context` is the checkpoint's, in tokens.

    Raises ServiceError.
    """
    row = REMOTE if settings.engine_url else row_of(path)
    own = {name: getattr(settings, name) for name in row.settings}
    options = {"context": settings.context or context, "slots": settings.slots or row.slots, **own}
    _require_version(row)
    try:
        engine = getattr(importlib.import_module(f"deepseek_math.engines.{row.folder}.engine"), row.name)
        opened: Engine = engine(path, **options)
    except ModuleNotFoundError as error:
        raise _package_missing(path.name, row, str(error.name)) from error
    return opened


def require_packages(name: str, files: Sequence[str]) -> None:
    """Raises ServiceError where the engine of the checkpoint `name` lacks a package, before its `files` are downloaded.

    Files that tell no engine, such as a tar, are left for `row_of`.
    """
    row = None
    if any(file.endswith(".gguf") for file in files):
        row = LLAMA_CPP
    elif any(file.endswith((".safetensors", ".bin")) for file in files):
        row = TRANSFORMERS
    if row is None:
        return
    for package in row.needs:
        if importlib.util.find_spec(package) is None:
            raise _package_missing(name, row, package)
    _require_version(row)


def _package_missing(name: str, row: EngineRow, package: str) -> ServiceError:
    instead = "" if row is LLAMA_CPP else " Without it, GGUF files run: CHECKPOINT=rl-q4_k_m (4.2 GB), for one."
    return ServiceError(
        "package_missing",
        f"{name} is a checkpoint for {row.label}, which needs the package {package}. Run make setup-all.{instead}",
    )


def _require_version(row: EngineRow) -> None:
    if row.package is not None:
        require_version(*row.package, user="This engine", code="package_missing")


def row_of(path: Path) -> EngineRow:
    """The engine that a checkpoint's files run on. Raises ServiceError."""
    if path.is_file() and path.suffix == ".gguf":
        return LLAMA_CPP
    if (path / "config.json").is_file():
        return TRANSFORMERS
    raise ServiceError(
        "checkpoint_unusable", f"{path} is neither a .gguf file nor a folder with config.json and safetensors."
    )
