"""Picks the engine by the checkpoint's files: a GGUF file runs on llama.cpp, a safetensors folder on transformers."""

import importlib
from pathlib import Path

from replicate.engines.protocol import Engine
from replicate.errors import ServiceError
from replicate.settings import Settings


def open_engine(path: Path, context: int | None, settings: Settings) -> Engine:
    """An engine for the file or folder at `path`, not started yet. `context` is the checkpoint's, in tokens.

    Raises ServiceError.
    """
    module, name = kind(path)
    try:
        engine = getattr(importlib.import_module(f"replicate.engines.{module}"), name)
    except ModuleNotFoundError as error:
        raise ServiceError(
            "package_missing", f"{path.name} runs on the {module} engine, which needs {error.name}. Run make setup-all."
        ) from error
    own: dict[str, object] = {"threads": settings.threads}
    if module == "transformers":
        own = {"dtype": settings.dtype, "device_map": settings.device_map}
    opened: Engine = engine(path, context=settings.context or context, slots=settings.slots, **own)
    return opened


def kind(path: Path) -> tuple[str, str]:
    """The engine's name, which is its module's, and its class. Raises ServiceError."""
    if path.is_file() and path.suffix == ".gguf":
        return "llama_cpp", "LlamaCppEngine"
    if (path / "config.json").is_file():
        return "transformers", "TransformersEngine"
    raise ServiceError(
        "checkpoint_unusable", f"{path} is neither a .gguf file nor a folder with config.json and safetensors."
    )
