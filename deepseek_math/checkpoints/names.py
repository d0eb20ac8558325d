"""From what CHECKPOINT says to a checkpoint: a name of the table, a path, `hf://owner/name`, or an address."""

import difflib
import hashlib
import re
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from deepseek_math.checkpoints.table import ALIASES, ARCHIVES, CHECKPOINTS, Address, Checkpoint, Hub, Local
from deepseek_math.errors import ServiceError

KINDS = (".gguf", ".safetensors", *ARCHIVES)
OWN = "see its own files"


def find(name: str) -> Checkpoint:
    """The checkpoint that `name` means. Raises ServiceError("checkpoint_unknown"). Nothing is fetched."""
    name = ALIASES.get(name, name)
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    if name.startswith("hf://"):
        return _hub(name)
    if name.startswith(("http://", "https://")):
        return _address(name)
    path = _existing(name)
    if path:
        return Checkpoint(path.name, Local(path), OWN)
    known = [*CHECKPOINTS, *ALIASES]
    near = [] if "/" in name else difflib.get_close_matches(name.lower(), known, 1, 0.5)
    raise ServiceError(
        "checkpoint_unknown",
        f"{name[:300]!r} is neither a file or folder here nor one of {', '.join(known)}. "
        + (f"Did you mean {near[0]}? " if near else "")
        + "It may also be hf://owner/name or an http(s) address.",
    )


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser().resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, of a user that there is not, with a zero byte
        return None


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
    try:
        hostname = urlsplit(url).hostname
    except ValueError as error:
        raise ServiceError("checkpoint_unknown", f"{url[:300]!r} is no address: {error}.") from error
    digest = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    address = Address(url, digest[1].lower() if digest else None)
    if not hostname or not address.file.endswith(KINDS):
        raise ServiceError("checkpoint_unknown", f"{url[:300]} does not end in one of {', '.join(KINDS)}.")
    if fragment and not digest:
        raise ServiceError("checkpoint_unknown", f"#{fragment[:300]} is not #sha256= and 64 hexadecimal digits.")
    return Checkpoint(f"{address.file}-{hashlib.sha256(url.encode()).hexdigest()[:8]}", address, OWN)
