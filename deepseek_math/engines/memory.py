"""How much memory there is for weights and for the KV cache."""

import resource

import psutil

from deepseek_math import container
from deepseek_math.errors import ServiceError

CPU_SHARE = 0.4  # of the memory that is free at start, the most that the KV cache may take
LOADED = 1.1  # memory that weights take, of their file's size: 4.5 GB for 4.2 GB
# What else a container needs once the engine is there, beside programs, measured with the demo: the process that they
# are forked from (82 MiB), the workers that compare answers (44), and a margin.
BESIDE_BYTES = 150 << 20
MIB = 1 << 20


def free_bytes() -> int:
    """Free memory of this machine, or of the container or this process (`ulimit -v`) where that is less."""
    machine = int(psutil.virtual_memory().available)
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        machine = min(machine, max(0, most - psutil.Process().memory_info().vms))
    limit = container.memory_limit()
    return machine if limit is None else min(machine, max(0, limit - container.memory_used()))


def room(weights: int = 0) -> float:
    """Bytes that the KV cache may take beside `weights` bytes that are still to be loaded."""
    share = free_bytes() * CPU_SHARE
    limit = container.memory_limit()
    return share if limit is None else min(share, _room_within(limit, weights))


def _room_within(limit: int, weights: int) -> float:
    """The same in a container of `limit`, where everything must fit, for the kernel kills what goes beyond."""
    free = limit - container.memory_used()
    programs = container.programs_at_once(limit) * container.PROGRAM_BYTES
    return min(free * CPU_SHARE, free - weights * LOADED - BESIDE_BYTES - programs)


def gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def require_room_for_weights(name: str, need: float) -> None:
    """Raises ServiceError where weights of `need` bytes don't fit: the loader would say that the file is damaged, or
    the system would kill the process without a word."""
    free = free_bytes()
    if need > free:
        raise ServiceError(
            "memory_exceeded",
            f"The weights of {name} take {gib(need)} of memory, and {gib(free)} are free. Free some, or take a smaller "
            "checkpoint: CHECKPOINT=rl-q4_k_m takes about 4 GiB.",
        )


def too_large(context: int, need: float, usable: float, weights: int = 0) -> ServiceError:
    """What to say when not even one request of `context` tokens fits; `need`, `usable` and `weights` are bytes."""
    limit = container.memory_limit()
    if limit is None or _room_within(limit, weights) >= need:
        return ServiceError(
            "memory_exceeded",
            f"The KV cache of one request of {context} tokens takes {gib(need)}, and {gib(usable)} may be used. "
            "Free some memory, or set CONTEXT lower.",
        )
    enough = limit
    while _room_within(enough, weights) < need:  # in steps, for more memory also means more programs
        enough += MIB
    return ServiceError(
        "memory_exceeded",
        f"This container may use {gib(limit)}, and needs {gib(enough)} for the weights, the KV cache of one request of "
        f"{context} tokens ({gib(need)}), programs and all else. Give it more (docker run --memory), or set CONTEXT "
        "lower.",
    )


def checked_context(wanted: int | None, longest: int) -> int:
    """The context to serve, in tokens: what is `wanted`, if the checkpoint can, else all that it can."""
    if wanted is not None and wanted > longest:
        raise ServiceError("setting_invalid", f"CONTEXT is {wanted} tokens and the checkpoint can hold {longest}.")
    return wanted or longest
