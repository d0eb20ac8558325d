"""What the environment may set, read and checked once at the start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from replicate.errors import ServiceError

DTYPES = ("float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # accelerate's ways to spread a model


@dataclass(frozen=True, slots=True)
class Settings:
    """None means: the engine's own choice."""

    checkpoint: str = "rl"
    slots: int = 16  # most requests at work at once
    context: int | None = None  # tokens of prompt and completion together
    threads: int | None = None  # llama.cpp's
    tool_processes: int | None = None  # most programs at work at once; all cores, and at least 2, when unset
    dtype: str | None = None  # of the transformers engine, one of DTYPES
    device_map: str | None = None  # of the transformers engine on several GPUs, one of DEVICE_MAPS

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, weights: object = None) -> "Settings":
        """Raises ServiceError("setting_invalid"). An empty variable counts as unset; `weights` wins over CHECKPOINT."""
        return cls(
            checkpoint=str(weights or environment.get("CHECKPOINT") or "rl"),
            slots=_whole(environment, "SLOTS") or 16,
            context=_whole(environment, "CONTEXT"),
            threads=_whole(environment, "THREADS"),
            tool_processes=_whole(environment, "TOOL_PROCESSES"),
            dtype=_one_of(environment, "DTYPE", DTYPES),
            device_map=_one_of(environment, "DEVICE_MAP", DEVICE_MAPS),
        )


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = environment.get(name) or None
    if value not in (None, *known):
        raise ServiceError("setting_invalid", f"{name}={value!r}. Use one of {', '.join(known)}, or leave it unset.")
    return value


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ServiceError("setting_invalid", f"{name}={value!r}. Use a whole number of 1 or more, or leave it unset.")
    return int(value)
