"""Whether a downloaded file is what its source published."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deepseek_math.checkpoints.remote_file import RemoteFile, journal_path
from deepseek_math.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Comparison:
    """`kind` is what was compared: sha256, git blob id, or only the length."""

    kind: str
    expected: str
    found: str

    @property
    def same(self) -> bool:
        return self.found == self.expected


def sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def git_blob_id(path: Path) -> str:
    """The SHA-1 that git names the content by (`git hash-object`)."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def compare(file: RemoteFile, path: Path) -> Comparison:
    """Compares the file at `path` with the best that its source publishes."""
    if file.sha256:
        return Comparison("sha256", file.sha256, sha256(path))
    if file.git:
        return Comparison("git blob id", file.git, git_blob_id(path))
    return Comparison("length", str(file.size), str(path.stat().st_size))


def check(file: RemoteFile, part: Path) -> None:
    """Raises ServiceError for a file that is not the published one, and removes it; the others are kept."""
    comparison = compare(file, part)
    if comparison.same:
        return
    part.unlink()
    journal_path(part).unlink(missing_ok=True)
    raise ServiceError(
        "checkpoint_damaged",
        f"{file.path} was downloaded with the {comparison.kind} {comparison.found}, and {comparison.expected} is "
        "expected. It was removed, the other files are kept: start again to download it anew. If this happens again, "
        "the file on the server is another one.",
    )
