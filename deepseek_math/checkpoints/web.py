"""Files at plain http(s) addresses: what there is, and their way here in parallel ranges (`ranges.py`)."""

import re
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from deepseek_math.checkpoints import ranges, remote_file
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import Patience, RemoteFile, failed, label
from deepseek_math.checkpoints.table import Address
from deepseek_math.errors import ServiceError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NEEDED = ("config.json", "tokenizer.json")
WELCOME = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")

Say = Callable[[str], None]
Read = TypeVar("Read")


def listing(address: Address, say: Say) -> tuple[str, list[RemoteFile]]:
    """The revision (none, here) and the files. Raises ServiceError."""
    url, name = address.url, address.file
    if not name.endswith(".safetensors"):
        return "", [_required(url, name, address.sha256, say)]
    shards = _shards(name)
    files = [_required(url, name, address.sha256, say, as_name=name if shards else WEIGHTS)]
    files += [_required(_beside(url, other), other, None, say) for other in shards if other != name]
    for other in (*NEEDED, INDEX) if shards else NEEDED:
        found = _file(_beside(url, other), other, None, say)
        if found is None:
            raise ServiceError(
                "checkpoint_unusable", f"{name} alone is no checkpoint: {other} must lie beside it, and it does not."
            )
        files.append(found)
    files += [found for other in WELCOME if (found := _file(_beside(url, other), other, None, say))]
    return "", files


def carry(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Brings `file` to `part`, going on from what is there."""
    if not file.ranges:
        ranges.stream(file, part, progress)
        return
    ranges.carry(file, part, ranges.Journal(part, file.size), progress)


def there(file: RemoteFile, part: Path) -> int:
    """How many bytes of `file` have arrived already."""
    if not file.ranges or not part.exists():
        return 0
    return ranges.Journal(part, file.size).bytes()


def _beside(url: str, name: str) -> str:
    """The address of another file in the folder of `url`, with the same query."""
    return urljoin(url, name) + (f"?{urlsplit(url).query}" if urlsplit(url).query else "")


def _shards(name: str) -> list[str]:
    """All files of the series that `name` is one of, where it is."""
    found = re.fullmatch(r"(.*-)(\d{1,5})(-of-)(\d{1,5})(\.safetensors)", name)
    if not found:
        return []
    stem, number, of, count, end = found.groups()
    return [f"{stem}{shard:0{len(number)}d}{of}{count}{end}" for shard in range(1, int(count) + 1)]


def _required(url: str, name: str, sha256: str | None, say: Say, as_name: str | None = None) -> RemoteFile:
    """Raises ServiceError, as `_file` does, also when there is none."""
    found = _file(url, name, sha256, say, optional=False, as_name=as_name)
    assert found is not None
    return found


def _file(
    url: str, name: str, sha256: str | None, say: Say, *, optional: bool = True, as_name: str | None = None
) -> RemoteFile | None:
    """Asks for the first byte: the answer says how long the file is and whether it comes in parts."""

    def read(answer: "urllib.request._UrlopenRet") -> tuple[int, str | None, bool]:
        ranges.require_plain(label(name, url), name, answer)
        found = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        length = found[1] if found else answer.headers.get("Content-Length")
        if length is None:
            raise failed(label(name, url), "the server does not say how long it is")
        return int(length), ranges.validator(answer), answer.status == 206 and found is not None

    said = _ask(url, name, say, read, {"Range": "bytes=0-0"}, optional)
    if said is None:
        return None
    size, etag, parts = said
    digest = sha256 or _published_digest(url, name, say)
    return RemoteFile(as_name or name, url, size, digest, None, etag, parts and bool(digest or etag))


def _published_digest(url: str, name: str, say: Say) -> str | None:
    """The digest in the file `<name>.sha256` beside it, as sha256sum writes it, where there is one."""
    split = urlsplit(url)
    address = urlunsplit(split._replace(path=split.path + ".sha256"))
    text = _ask(address, f"{name}.sha256", say, lambda answer: answer.read(4096), {}, optional=True) or b""
    for line in text.decode("utf-8", "replace").splitlines():
        digest, _, said = line.strip().partition(" ")
        if re.fullmatch(r"[0-9a-fA-F]{64}", digest) and said.strip(" *") in ("", name):
            return str(digest).lower()
    return None


def _ask(
    url: str,
    name: str,
    say: Say,
    read: "Callable[[urllib.request._UrlopenRet], Read]",
    headers: dict[str, str],
    optional: bool,
) -> Read | None:
    """What `read` makes of the answer; None where there is no such file and it is optional."""
    patience = Patience(label(name, url), say, arriving=False)
    while True:
        try:
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=remote_file.SILENCE) as answer:
                return read(answer)
        except (OSError, HTTPException) as error:
            if optional and remote_file.answered(error)[0] in remote_file.ABSENT:
                return None
            patience.after(error)
