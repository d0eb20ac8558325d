"""What one program may use, as data."""

from dataclasses import dataclass

DEMOTE = 0  # stands where a signal's number would
PACKET_BYTES = 1 << 16  # of the longest packet between the service and the zygote


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one prediction's sandbox. The kernel enforces those that are not watched from outside."""

    wall_seconds: float = 20.0  # of one program, watched; the published scripts allow 10 s on a machine of their own
    patience_seconds: float = 40.0  # beyond that, as long as it was ready to run and others had the cores
    cpu_seconds: int = 30  # of all programs of a prediction, watched; the kernel ends a process that used as much alone
    prompt_seconds: float = 0.25  # of those; from then on it gets what nobody else wants, watched
    memory_bytes: int = 1 << 30  # address space, of which Python with its packages takes half; what it holds is watched
    file_bytes: int = 4 << 20  # of one file
    folder_bytes: int = 32 << 20  # of all files together, watched
    folder_files: int = 200  # watched
    open_files: int = 32
    output_bytes: int = 1 << 20  # printed by one program, watched; the model gets 100 characters of it
