"""Picks the engine by the checkpoint's files: a GGUF file runs on llama.cpp, a safetensors folder on transformers."""

import importlib
import os
from pathlib import Path

from replicate.engines.protocol import Engine
from replicate.errors import ServiceError

DEFAULT_SLOTS = 16


def open_engine(path: Path, context: int | None) -> Engine:
    """An engine for the file or folder at `path`, not started yet.

    The environment may set SLOTS (requests at once) and CONTEXT (tokens a request); `context` is the checkpoint's.
    Raises ServiceError.
    """
    module, name = _kind(path)
    try:
        engine = getattr(importlib.import_module(f"replicate.engines.{module}"), name)
    except ModuleNotFoundError as error:
        raise ServiceError(
            "package_missing", f"{path.name} runs on the {module} engine, which needs {error.name}. Run make setup-all."
        ) from error
    slots, tokens = os.environ.get("SLOTS"), os.environ.get("CONTEXT")
    opened: Engine = engine(path, context=int(tokens) if tokens else context, slots=int(slots or DEFAULT_SLOTS))
    return opened


def _kind(path: Path) -> tuple[str, str]:
    if path.is_file() and path.suffix == ".gguf":
        return "llama_cpp", "LlamaCppEngine"
    if (path / "config.json").is_file():
        return "transformers", "TransformersEngine"
    raise ServiceError(
        "checkpoint_unusable", f"{path} is neither a .gguf file nor a folder with config.json and safetensors."
    )
