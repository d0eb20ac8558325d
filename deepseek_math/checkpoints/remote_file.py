"""One file of a checkpoint as its source lists it, before it is downloaded, and its names on the disk until then."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deepseek_math.errors import ServiceError

LONGEST_NAME = 200  # bytes: file systems allow 255, and names get endings here


def is_plain_path(path: str) -> bool:
    """Whether a relative path stays inside its folder: no `..`, nothing hidden, no name too long for a file."""
    for name in path.split("/"):
        if not re.fullmatch(r"[^./\\\0][^/\\\0]*", name) or len(name.encode()) > LONGEST_NAME:
            return False
    return True


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """`path` is relative to the checkpoint's folder; `size` is bytes, 0 where it is unknown."""

    path: str
    url: str
    size: int
    sha256: str | None = None  # of the content, where the source publishes it
    git: str | None = None  # git's blob id (SHA-1), which the hub gives for small files instead
    etag: str | None = None
    ranges: bool = True  # whether the server sends parts of it, all of the same version

    def __post_init__(self) -> None:
        if not is_plain_path(self.path):
            raise ServiceError(
                "checkpoint_unusable", f"{self.path[:300]!r} is not a valid name for a file of a checkpoint."
            )

    @property
    def label(self) -> str:
        """The file and the host it comes from, for messages."""
        return label(self.path, self.url)

    @property
    def has_digest(self) -> bool:
        return bool(self.sha256 or self.git)

    def identity(self) -> str | None:
        """The same text for the same content, so a partial file is resumed only with its own version. None: unknown."""
        version = self.sha256 or self.git
        if version is None and self.etag:
            version = f"{self.etag} {self.url}"
        return f"{self.size} {version}" if version else None


def label(name: str, url: str) -> str:
    """A file and the host it comes from, without the login that the address may hold."""
    return f"{name} from {urlsplit(url).netloc.rpartition('@')[2]}"


def part_path(path: Path) -> Path:
    """Where a file is downloaded to."""
    return path.with_name(path.name + ".part")


def journal_path(part: Path) -> Path:
    """Beside a partial file: which of its units have arrived (`ranges.py`)."""
    return part.with_name(part.name + ".done")


def format_bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
