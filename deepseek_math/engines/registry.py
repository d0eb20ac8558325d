"""Picks the engine: `remote` where ENGINE_URL is set, else by the checkpoint's files: a GGUF file runs on llama.cpp, a
safetensors folder on transformers."""

import importlib
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
    package: tuple[str, str] | None = None  # and its version, where the engine touches parts that are not public


LLAMA_CPP = EngineRow("llama_cpp", "LlamaCppEngine", "llama.cpp", 16, ("threads",))
TRANSFORMERS = EngineRow(
    "hf", "TransformersEngine", "transformers", None, ("dtype", "device_map"), ("transformers", "5.23.0")
)
# CONTEXT alone: a row of the table bounds what is asked of this machine's memory, which is not used.
REMOTE = EngineRow(
    "remote", "RemoteEngine", "a server elsewhere", 64, ("context", "engine_url", "engine_model", "engine_api_key")
)


def open_engine(path: Path, context: int | None, settings: Settings) -> Engine:
    """An engine for the file or folder at `path`, not started yet. `context` is the checkpoint's, in tokens.

    Raises ServiceError.
    """
    row = REMOTE if settings.engine_url else row_of(path)
    own = {name: getattr(settings, name) for name in row.settings}
    options = {"context": settings.context or context, "slots": settings.slots or row.slots, **own}
    if row.package is not None:
        require_version(*row.package, user="This engine", code="package_missing")
    try:
        engine = getattr(importlib.import_module(f"deepseek_math.engines.{row.folder}.engine"), row.name)
        opened: Engine = engine(path, **options)
    except ModuleNotFoundError as error:
        raise ServiceError(
            "package_missing",
            f"{path.name} is a checkpoint for {row.label}, which needs the package {error.name}. Run make setup-all.",
        ) from error
    return opened


def row_of(path: Path) -> EngineRow:
    """The engine that a checkpoint's files run on. Raises ServiceError."""
    if path.is_file() and path.suffix == ".gguf":
        return LLAMA_CPP
    if (path / "config.json").is_file():
        return TRANSFORMERS
    raise ServiceError(
        "checkpoint_unusable", f"{path} is neither a .gguf file nor a folder with config.json and safetensors."
    )
