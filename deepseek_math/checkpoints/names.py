"""The checkpoint that CHECKPOINT means: a name of the table, a path, `hf://owner/name`, or an http(s) address."""

import difflib
import hashlib
import re
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from deepseek_math.checkpoints.table import ALIASES, ARCHIVES, CHECKPOINTS, Address, Checkpoint, Hub, Local
from deepseek_math.errors import ServiceError

FILE_TYPES = (".gguf", ".safetensors", *ARCHIVES)
OWN_LICENCE = "see its own files"


def find(name: str) -> Checkpoint:
    """The checkpoint that `name` means; nothing is downloaded. Raises ServiceError("checkpoint_unknown")."""
    name = ALIASES.get(name, name)
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    if name.startswith("hf://"):
        return _hub(name)
    if name.startswith(("http://", "https://")):
        return _address(name)
    path = _existing(name)
    if path:
        return Checkpoint(path.name, Local(path), OWN_LICENCE)
    raise ServiceError("checkpoint_unknown", _unknown(name))


def _unknown(name: str) -> str:
    """The message for a name that means nothing, with the most similar name where there is one."""
    known = [*CHECKPOINTS, *ALIASES]
    message = f"{name[:300]!r} is neither a file or folder here nor one of {', '.join(known)}. "
    if "/" not in name:
        for similar in difflib.get_close_matches(name.lower(), known, 1, 0.5):
            message += f"Did you mean {similar}? "
    return message + "It may also be hf://owner/name or an http(s) address."


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser().resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, the home of an unknown user, a zero byte
        return None


def _hub(name: str) -> Checkpoint:
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not found:
        raise ServiceError("checkpoint_unknown", f"{name[:300]!r} must be hf://owner/name or hf://owner/name@revision.")
    repository, revision = found[1], found[2] or "main"
    folder = f"{repository}@{revision}" if found[2] else repository
    return Checkpoint(folder.replace("/", "--"), Hub(repository, revision), OWN_LICENCE)


def _address(name: str) -> Checkpoint:
    """Its folder is named after the file, with a part of the address's digest: two addresses may end alike."""
    url, fragment = urldefrag(name)
    try:
        hostname = urlsplit(url).hostname
    except ValueError as error:
        raise ServiceError("checkpoint_unknown", f"{url[:300]!r} is not a valid address: {error}.") from error
    digest = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    address = Address(url, digest[1].lower() if digest else None)
    if not hostname or not address.file.endswith(FILE_TYPES):
        raise ServiceError("checkpoint_unknown", f"{url[:300]} does not end in one of {', '.join(FILE_TYPES)}.")
    if fragment and not digest:
        raise ServiceError("checkpoint_unknown", f"#{fragment[:300]} must be #sha256= and 64 hexadecimal digits.")
    return Checkpoint(f"{address.file}-{hashlib.sha256(url.encode()).hexdigest()[:8]}", address, OWN_LICENCE)
