"""What a downloaded file is by its first bytes."""

from pathlib import Path

from deepseek_math.checkpoints.remote_file import RemoteFile, journal_path
from deepseek_math.errors import ServiceError

GGUF = b"GGUF"


def check(file: RemoteFile, path: Path) -> None:
    """Removes a file that is called .gguf and is none, and raises ServiceError("checkpoint_unusable")."""
    if not file.path.lower().endswith(".gguf"):
        return
    with path.open("rb") as content:
        begins = content.read(len(GGUF))
    if begins != GGUF:
        for part in (path, journal_path(path)):
            part.unlink(missing_ok=True)
        raise ServiceError(
            "checkpoint_unusable",
            f"{file.label} is not a GGUF file: it begins with {begins!r} instead of {GGUF!r}. Check the address.",
        )
