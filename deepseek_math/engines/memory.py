"""How much memory there is for the KV cache."""

from pathlib import Path

import psutil

from deepseek_math.errors import ServiceError

CPU_SHARE = 0.4  # of the memory that is free at start, the most that the KV cache may take
CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Free memory of this machine, or of the container where that is less (cgroup v2).

    What the container uses counts without the file pages that the kernel would drop: a download leaves gigabytes.
    """
    machine = int(psutil.virtual_memory().available)
    try:
        limit, used = (CGROUP / "memory.max").read_text(), (CGROUP / "memory.current").read_text()
    except OSError:
        return machine
    return machine if limit.strip() == "max" else min(machine, max(0, int(limit) - int(used) + _droppable()))


def _droppable() -> int:
    try:
        stat = (CGROUP / "memory.stat").read_text()
    except OSError:
        return 0
    return int(dict(line.split() for line in stat.splitlines()).get("inactive_file", 0))


def gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def too_large(context: int, need: float, usable: float) -> ServiceError:
    """What to say when not even one request of `context` tokens fits; `need` and `usable` are bytes."""
    return ServiceError(
        "memory_exceeded",
        f"The KV cache of one request of {context} tokens takes {gib(need)}, and {gib(usable)} may be used. "
        "Free some memory, or set CONTEXT lower.",
    )


def checked_context(wanted: int | None, longest: int) -> int:
    """The context to serve, in tokens: what is `wanted`, if the checkpoint can, else all that it can."""
    if wanted is not None and wanted > longest:
        raise ServiceError("setting_invalid", f"CONTEXT is {wanted} tokens and the checkpoint can hold {longest}.")
    return wanted or longest
