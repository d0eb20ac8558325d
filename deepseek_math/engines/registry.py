"""Picks the engine: `remote` where ENGINE_URL is set, else by the checkpoint's files: a GGUF file runs on llama.cpp, a
safetensors folder on what ENGINE names: transformers, or vLLM in a process of its own."""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.vllm.environment import python_of
from deepseek_math.errors import ServiceError
from deepseek_math.installed import require_version
from deepseek_math.settings import Settings, default_engine


@dataclass(frozen=True, slots=True)
class EngineRow:
    folder: str
    name: str  # of the class
    label: str  # for people
    slots: int | None  # where SLOTS is unset; None: the engine decides by its device
    settings: tuple[str, ...]  # those that are this engine's alone
    needs: tuple[str, ...]  # packages
    package: tuple[str, str] | None = None  # and its version, where the engine touches parts that are not public


LLAMA_CPP = EngineRow(
    "llama_cpp", "LlamaCppEngine", "llama.cpp", 16, ("threads", "exact", "gpu_layers"), ("xllamacpp",)
)
TRANSFORMERS = EngineRow(
    "hf",
    "TransformersEngine",
    "transformers",
    None,
    ("dtype", "device_map"),
    ("torch", "transformers", "accelerate"),
    ("transformers", "5.23.0"),
)
VLLM = EngineRow("vllm", "VLLMEngine", "vLLM", 64, ("dtype", "vllm_args", "vllm_environment"), ("tokenizers",))
SAFETENSORS = {"transformers": TRANSFORMERS, "vllm": VLLM}  # by their names in ENGINE
# CONTEXT alone: a row of the table bounds what is asked of this machine's memory, which is not used.
REMOTE = EngineRow(
    "remote", "RemoteEngine", "a server elsewhere", 64, ("context", "engine_url", "engine_model", "engine_api_key"), ()
)


def open_engine(path: Path, context: int | None, settings: Settings) -> Engine:
    """An engine for the file or folder at `path`, not started yet. `context` is the checkpoint's, in tokens.

    Raises ServiceError.
    """
    row = REMOTE if settings.engine_url else row_of(path, settings.engine)
    own = {name: getattr(settings, name) for name in row.settings}
    options = {"context": settings.context or context, "slots": settings.slots or row.slots, **own}
    _require_version(row)
    try:
        engine = getattr(importlib.import_module(f"deepseek_math.engines.{row.folder}.engine"), row.name)
        opened: Engine = engine(path, **options)
    except ModuleNotFoundError as error:
        raise _package_missing(path.name, row, str(error.name)) from error
    return opened


def require_packages(name: str, settings: Settings, files: Sequence[str]) -> None:
    """Raises ServiceError where the engine of the checkpoint `name` lacks a package, before its `files` are downloaded.

    Files that tell no engine, such as a tar, are left for `row_of`.
    """
    row = None
    if any(file.endswith(".gguf") for file in files):
        row = _of_gguf(settings.engine, name)
    elif any(file.endswith((".safetensors", ".bin")) for file in files):
        row = SAFETENSORS[settings.engine or default_engine()]
    if row is None:
        return
    for package in row.needs:
        if importlib.util.find_spec(package) is None:
            raise _package_missing(name, row, package)
    _require_version(row)
    if row is VLLM:
        python_of(settings.vllm_environment)


def _package_missing(name: str, row: EngineRow, package: str) -> ServiceError:
    instead = "" if row is LLAMA_CPP else " Without it, GGUF files run: CHECKPOINT=rl-q4_k_m (4.2 GB), for one."
    return ServiceError(
        "package_missing",
        f"{name} is a checkpoint for {row.label}, which needs the package {package}. Run make setup-all.{instead}",
    )


def _require_version(row: EngineRow) -> None:
    if row.package is not None:
        require_version(*row.package, user="This engine", code="package_missing")


def row_of(path: Path, engine: str | None = None) -> EngineRow:
    """The engine that a checkpoint's files run on; `engine` is what ENGINE names. Raises ServiceError."""
    if path.is_file() and path.suffix == ".gguf":
        return _of_gguf(engine, path.name)
    if (path / "config.json").is_file():
        return SAFETENSORS[engine or default_engine()]
    raise ServiceError(
        "checkpoint_unusable", f"{path} is neither a .gguf file nor a folder with config.json and safetensors."
    )


def _of_gguf(engine: str | None, name: str) -> EngineRow:
    if engine is not None:
        raise ServiceError(
            "setting_invalid",
            f"ENGINE={engine!r} is for safetensors, and {name} is a GGUF file, which runs on llama.cpp. Leave ENGINE "
            "unset, or set another CHECKPOINT.",
        )
    return LLAMA_CPP
