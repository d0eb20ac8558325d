"""What the environment may set, read and checked once at the start."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deepseek_math.errors import ServiceError
from deepseek_math.paths import CHECKPOINT_FILE, ENGINE_FILE

MOST_DIGITS = 18  # of a whole number; Python reads no more than 4,300
DTYPES = ("float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # accelerate's ways to spread a model
ENGINES = ("transformers", "vllm")  # what can run safetensors
# What runs them where nothing else is said, in an image too. It keeps every promise in one process and one environment,
# and no measurement on a GPU says yet what vLLM would gain.
DEFAULT_ENGINE = "transformers"

VARIABLES: dict[str, str] = {
    "CHECKPOINT": "A name, a path or an address. When unset what the image was built for, else `rl`; `demo` with "
    "`make predict`, `make chat-terminal` and `make serve`.",
    "COG_WEIGHTS": "Cog's own variable: takes the same as CHECKPOINT, and wins.",
    "WEIGHTS_FOLDER": "Where downloaded checkpoints are kept; `weights` beside the code when unset.",
    "SLOTS": "The most requests at work at once. When unset 16 on a CPU, 64 on a GPU and with ENGINE_URL, fewer where "
    "memory is short.",
    "CONTEXT": "Tokens of prompt and completion together, up to the checkpoint's own limit.",
    "THREADS": "llama.cpp: its threads. All cores when unset. One fewer leaves a core to the programs of mode tool, at "
    "the price of speed.",
    "EXACT": "llama.cpp: `1` takes settings that keep texts from depending on what else is at work, `0` its own. "
    "When unset `1` for weights in Q4_0, Q4_1, Q5_0, Q8_0 and F16 on a CPU, else `0`: determinism.",
    "GPU_LAYERS": "llama.cpp: how many layers go onto a GPU, `0` for none. `auto`, or unset: all that fit, where this "
    "build of it has a GPU to use.",
    "TOOL_PROCESSES": "The most programs of mode tool at work at once. When unset all cores, at least 2, and fewer "
    "where a container's memory is short.",
    "PROGRAM_PACKAGES": (
        "The folder of the packages that programs of mode tool import; `programs` in the environment that runs the "
        "service when unset."
    ),
    "TIME_LIMIT": "Seconds that one prediction may take, waiting included. No limit when unset.",
    "LOG_PROMPTS": "`0` keeps prompts, completions and programs out of the log. They are in it when unset, or `1`.",
    "DTYPE": f"transformers and vLLM: {', '.join(f'`{name}`' for name in DTYPES)}. When unset the checkpoint's own "
    "on a GPU, float32 on a CPU.",
    "DEVICE_MAP": "transformers, several GPUs: how accelerate spreads the model: "
    f"{', '.join(f'`{name}`' for name in DEVICE_MAPS)}. One GPU when unset.",
    "ENGINE": f"What runs a safetensors checkpoint: {', '.join(f'`{name}`' for name in ENGINES)}. When unset what the "
    f"image was built for, else `{DEFAULT_ENGINE}`. A GGUF file runs on llama.cpp.",
    "VLLM_ARGS": "vLLM: more of its own options, as on a command line: `--quantization fp8`. Of two, yours counts.",
    "VLLM_ENVIRONMENT": "vLLM: the Python environment that it is installed in; `vllm` in the service's own when unset.",
    "ENGINE_URL": "The address of a server that generates instead of this process.",
    "ENGINE_MODEL": "The model's name there; the only one it has when unset.",
    "ENGINE_API_KEY": "The key that the server asks for. It is shown nowhere.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """None means: the engine's own choice."""

    checkpoint: str = "rl"
    slots: int | None = None  # most requests at work at once
    context: int | None = None  # tokens of prompt and completion together
    threads: int | None = None  # llama.cpp's
    tool_processes: int | None = None  # most programs at work at once
    time_limit: float | None = None  # seconds of one prediction; no limit when unset
    log_prompts: bool = True  # whether the log may hold words of clients and models
    dtype: str | None = None  # of the transformers engine, one of DTYPES
    device_map: str | None = None  # of the transformers engine on several GPUs, one of DEVICE_MAPS
    engine_url: str | None = None  # of a server that generates instead of this process
    engine_model: str | None = None  # its name there; the only one there is, when unset
    engine_api_key: str | None = field(default=None, repr=False)
    exact: bool | None = None  # whether llama.cpp's texts must not depend on their company
    gpu_layers: int | None = None  # llama.cpp's, on a GPU; as many as fit when unset
    program_packages: Path | None = None  # the folder of the packages that programs import; see sandbox/packages.py
    engine: str | None = None  # of a safetensors checkpoint, one of ENGINES; what the image was built for, when unset
    vllm_args: tuple[str, ...] = ()  # options of vLLM's own
    vllm_environment: Path | None = None  # the folder of the environment that it is installed in

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, weights: object = None) -> "Settings":
        """Raises ServiceError("setting_invalid"). An empty variable counts as unset; `weights` wins over CHECKPOINT."""
        if not environment.get("ENGINE_URL"):
            for name in ("ENGINE_MODEL", "ENGINE_API_KEY"):
                if environment.get(name):
                    raise ServiceError(
                        "setting_invalid", f"{name} means nothing without ENGINE_URL. Set both or neither."
                    )
        engine = _one_of(environment, "ENGINE", ENGINES)
        if engine and environment.get("ENGINE_URL"):
            raise ServiceError("setting_invalid", f"ENGINE={engine!r} and ENGINE_URL are both set. Set one of them.")
        for name in ("VLLM_ARGS", "VLLM_ENVIRONMENT"):
            if environment.get(name) and (engine or default_engine()) != "vllm":
                raise ServiceError("setting_invalid", f"{name} means nothing without ENGINE=vllm. Set both or neither.")
        return cls(
            checkpoint=str(weights or environment.get("CHECKPOINT") or _default_checkpoint()),
            slots=_whole(environment, "SLOTS"),
            context=_whole(environment, "CONTEXT"),
            threads=_whole(environment, "THREADS"),
            exact=_yes_or_no(environment, "EXACT"),
            gpu_layers=_layers(environment, "GPU_LAYERS"),
            tool_processes=_whole(environment, "TOOL_PROCESSES"),
            program_packages=_folder(environment, "PROGRAM_PACKAGES"),
            time_limit=_seconds(environment, "TIME_LIMIT"),
            log_prompts=_one_of(environment, "LOG_PROMPTS", ("0", "1")) != "0",
            dtype=_one_of(environment, "DTYPE", DTYPES),
            device_map=_one_of(environment, "DEVICE_MAP", DEVICE_MAPS),
            engine=engine,
            vllm_args=_words(environment, "VLLM_ARGS"),
            vllm_environment=_folder(environment, "VLLM_ENVIRONMENT"),
            engine_url=_address(environment, "ENGINE_URL"),
            engine_model=environment.get("ENGINE_MODEL") or None,
            engine_api_key=_key(environment, "ENGINE_API_KEY"),
        )


def default_engine() -> str:
    """What runs a safetensors checkpoint where ENGINE is unset."""
    return ENGINE_FILE.read_text().strip() if ENGINE_FILE.exists() else DEFAULT_ENGINE


def _default_checkpoint() -> str:
    return CHECKPOINT_FILE.read_text().strip() if CHECKPOINT_FILE.exists() else "rl"


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = environment.get(name) or None
    if value not in (None, *known):
        raise ServiceError("setting_invalid", f"{name}={value!r}. Use one of {', '.join(known)}, or leave it unset.")
    return value


def _words(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """As a shell splits them."""
    try:
        return tuple(shlex.split(environment.get(name) or ""))
    except ValueError as error:
        raise ServiceError("setting_invalid", f"{name}={environment[name]!r}: {error}. Close the quotes.") from error


def _yes_or_no(environment: Mapping[str, str], name: str) -> bool | None:
    value = _one_of(environment, name, ("0", "1"))
    return None if value is None else value == "1"


def _layers(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if value in (None, "", "auto"):
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MOST_DIGITS:
        raise ServiceError(
            "setting_invalid", f"{name}={value[:40]!r}. Use auto, 0 for none, or how many layers go onto a GPU."
        )
    return int(value)


def _folder(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    if not value:
        return None
    if not Path(value).is_dir():
        raise ServiceError("setting_invalid", f"{name}={value!r} is not a folder. Set it to one, or leave it unset.")
    return Path(value)


def _address(environment: Mapping[str, str], name: str) -> str | None:
    value = environment.get(name) or None
    if value is None:
        return None
    try:
        split = urlsplit(value)
        httpx.URL(value).host.encode("idna")  # as it is looked up
        right = split.scheme in ("http", "https") and split.hostname and split.port != 0
        right = right and value.isprintable() and " " not in value
    except (ValueError, httpx.InvalidURL):
        right = False
    if not right or split.query or split.fragment or "@" in split.netloc:
        shown = "(which holds a name or key)" if "@" in value else f"={re.split('[?#]', value)[0]!r}"
        raise ServiceError(
            "setting_invalid",
            f"{name}{shown}. Use an address such as http://127.0.0.1:8000, or leave it unset. A key goes in "
            "ENGINE_API_KEY.",
        )
    return value


def _key(environment: Mapping[str, str], name: str) -> str | None:
    """NOTE: a key is never shown, not even a wrong one."""
    value = (environment.get(name) or "").strip() or None
    if value is not None and not (value.isascii() and value.isprintable()):
        raise ServiceError("setting_invalid", f"{name} holds a character that no HTTP header can carry.")
    return value


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MOST_DIGITS or int(value) == 0:
        raise ServiceError(
            "setting_invalid", f"{name}={value[:40]!r}. Use a whole number of 1 or more, or leave it unset."
        )
    return int(value)


def _seconds(environment: Mapping[str, str], name: str) -> float | None:
    value = environment.get(name)
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise ServiceError("setting_invalid", f"{name}={value[:40]!r}. Use seconds over 0, or leave it unset.")
    return seconds
