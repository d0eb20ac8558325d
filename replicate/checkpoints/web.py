"""Files at plain http(s) addresses: what there is, and their way here in parallel ranges.

`ranges.py` carries them. Where HF_HUB_ENABLE_HF_TRANSFER is set, hf_transfer carries a large file whose digest is known
first (`bulk.py`), and `ranges.py` what that leaves undone.
"""

import re
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from replicate.checkpoints import bulk, ranges, remote
from replicate.checkpoints.progress import Progress
from replicate.checkpoints.remote import RemoteFile, failed, wait_before
from replicate.checkpoints.table import Address
from replicate.errors import ServiceError

BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
NEEDED = {"config.json", "tokenizer.json"}


def listing(address: Address) -> tuple[str, list[RemoteFile]]:
    """The revision (none, here) and the files. Raises ServiceError."""
    name = _name(address.url)
    if not name.endswith(".safetensors"):
        return "", [_file(address.url, name, address.sha256)]
    files = [_file(address.url, name, address.sha256)]
    files += [_file(_beside(address.url, other), other, None) for other in _other_shards(name)]
    more = (*BESIDE, "model.safetensors.index.json") if len(files) > 1 else BESIDE
    for other in more:
        try:
            files.append(_file(_beside(address.url, other), other, None))
        except ServiceError as error:
            if other in NEEDED:
                raise ServiceError(
                    "checkpoint_unusable",
                    f"{name} alone is no checkpoint: {other} must lie beside it. {error.message}",
                ) from error
    return "", files


def carry(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Brings `file` to `part`, going on from what is there."""
    if not file.ranges:
        ranges.stream(file, part, progress)
        return
    journal = ranges.Journal(part, file.size)
    if file.sha256 and bulk.wanted():  # hf_transfer takes a short answer for a whole one: only a digest shows it
        bulk.carry(file, part, journal, progress)
    ranges.carry(file, part, journal, progress)


def there(file: RemoteFile, part: Path) -> int:
    """How many bytes of `file` have arrived already."""
    if not file.ranges or not part.exists():
        return 0
    journal = ranges.Journal(part, file.size)
    bulk.recover(part, journal)
    return journal.bytes()


def _name(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name)


def _beside(url: str, name: str) -> str:
    """The address of another file in the folder of `url`, with the same query."""
    return urljoin(url, name) + (f"?{urlsplit(url).query}" if urlsplit(url).query else "")


def _other_shards(name: str) -> list[str]:
    found = re.fullmatch(r"(.*-)(\d+)(-of-)(\d+)(\.safetensors)", name)
    if not found:
        return []
    stem, _, of, count, end = found.groups()
    names = [f"{stem}{number:0{len(found[2])}d}{of}{count}{end}" for number in range(1, int(count) + 1)]
    return [other for other in names if other != name]


def _file(url: str, name: str, sha256: str | None) -> RemoteFile:
    """Asks for the first byte: the answer says how long the file is and whether it comes in parts."""
    with _patiently(url, name, {"Range": "bytes=0-0"}) as answer:
        etag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        found = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        parts = answer.status == 206 and found is not None
        length = found[1] if found else answer.headers.get("Content-Length")
        if length is None:
            raise failed(name, "the server does not say how long it is")
    return RemoteFile(name, url, int(length), sha256 or _published_digest(url, name), None, etag, parts)


def _published_digest(url: str, name: str) -> str | None:
    """The digest in the file `<name>.sha256` beside it, as sha256sum writes it, where there is one."""
    split = urlsplit(url)
    address = urlunsplit(split._replace(path=split.path + ".sha256"))
    try:
        with urllib.request.urlopen(address, timeout=remote.SILENCE) as answer:
            text = answer.read(4096).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return None
    for line in text.splitlines():
        digest, _, said = line.strip().partition(" ")
        if re.fullmatch(r"[0-9a-fA-F]{64}", digest) and said.strip(" *") in ("", name):
            return str(digest).lower()
    return None


def _patiently(url: str, name: str, headers: dict[str, str]) -> "urllib.request._UrlopenRet":
    failures = 0
    while True:
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=remote.SILENCE)
        except (OSError, HTTPException) as error:
            failures += 1
            time.sleep(wait_before(name, error, failures))
