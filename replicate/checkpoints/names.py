"""From what CHECKPOINT says to a checkpoint: a name of the table, a path, `hf://owner/name`, or an address."""

import difflib
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from replicate.checkpoints.table import CHECKPOINTS, Address, Checkpoint, Hub, Local
from replicate.errors import ServiceError

KINDS = (".gguf", ".safetensors", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
OWN = "see its own files"


def find(name: str) -> Checkpoint:
    """The checkpoint that `name` means. Raises ServiceError("checkpoint_unknown"). Nothing is fetched."""
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    if name.startswith("hf://"):
        return _hub(name)
    if name.startswith(("http://", "https://")):
        return _address(name)
    path = Path(name).expanduser()
    if path.exists():
        return Checkpoint(path.resolve().name, Local(path.resolve()), OWN)
    near = difflib.get_close_matches(name.lower(), CHECKPOINTS, 1, 0.5)
    raise ServiceError(
        "checkpoint_unknown",
        f"CHECKPOINT={name!r} is neither a file or folder here nor one of {', '.join(CHECKPOINTS)}. "
        + (f"Did you mean {near[0]}? " if near else "")
        + "It may also be hf://owner/name or an http(s) address.",
    )


def _hub(name: str) -> Checkpoint:
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not found:
        raise ServiceError(
            "checkpoint_unknown", f"{name!r} is not of the form hf://owner/name or hf://owner/name@revision."
        )
    repository, revision = found[1], found[2] or "main"
    folder = f"{repository}@{revision}" if found[2] else repository
    return Checkpoint(folder.replace("/", "--"), Hub(repository, revision), OWN)


def _address(name: str) -> Checkpoint:
    """Its folder has the file's name and, since two addresses may end alike, a part of the address's digest."""
    url, fragment = urldefrag(name)
    parts = urlsplit(url)
    file = unquote(Path(parts.path).name)
    digest = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if not parts.hostname or not file.endswith(KINDS):
        raise ServiceError("checkpoint_unknown", f"{url} does not end in one of {', '.join(KINDS)}.")
    if fragment and not digest:
        raise ServiceError("checkpoint_unknown", f"#{fragment} is not #sha256= and 64 hexadecimal digits.")
    label = f"{file}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return Checkpoint(label, Address(url, digest[1].lower() if digest else None), OWN)
