"""Files at plain http(s) addresses: what a checkpoint consists of, and its download (`ranges.py`)."""

import re
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from deepseek_math.checkpoints import download_faults, ranges, redirects
from deepseek_math.checkpoints.download_faults import DownloadAttempts, download_failed, response_of
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.ranges import Response
from deepseek_math.checkpoints.remote_file import RemoteFile, label
from deepseek_math.checkpoints.table import Address
from deepseek_math.errors import ServiceError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")
DIGEST_BYTES = 4096  # read of a file with a digest

Report = Callable[[str], None]
Read = TypeVar("Read")


def list_files(address: Address, report: Report) -> tuple[str, list[RemoteFile]]:
    """The revision (none, here) and the files. Raises ServiceError.

    One safetensors file brings the other shards, the index and the tokenizer, which must be in the same folder.
    """
    url, name = address.url, address.file
    if not name.endswith(".safetensors"):
        return "", [_required(url, name, name, address.sha256, report)]
    shards = _shards(name)
    path = name if shards else WEIGHTS
    files = [_required(url, name, path, address.sha256, report)]
    for shard in shards:
        if shard != name:
            files.append(_required(_sibling(url, shard), shard, shard, None, report))
    for other in (*REQUIRED, INDEX) if shards else REQUIRED:
        file = _optional(_sibling(url, other), other, report)
        if file is None:
            raise ServiceError(
                "checkpoint_unusable",
                f"{name} alone is not a checkpoint: {other} must be in the same folder, and it is not.",
            )
        files.append(file)
    for other in OPTIONAL:
        file = _optional(_sibling(url, other), other, report)
        if file:
            files.append(file)
    return "", files


def download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Downloads `file` to `part`, and resumes where it can. Raises ServiceError."""
    if file.ranges:
        ranges.download_ranges(file, part, progress)
    else:
        ranges.download_whole(file, part, progress)


def received(file: RemoteFile, part: Path) -> int:
    """Bytes of `file` that an earlier start has downloaded."""
    if not file.ranges or not part.exists():
        return 0
    return ranges.Journal(part, file.size).received()


def _sibling(url: str, name: str) -> str:
    """The address of another file in the same folder, with the same query."""
    query = urlsplit(url).query
    address = urljoin(url, name)
    return f"{address}?{query}" if query else address


def _shards(name: str) -> list[str]:
    """All shards of the checkpoint that the file `name` is a shard of; none where it is whole."""
    found = re.fullmatch(r"(.*-)(\d{1,5})(-of-)(\d{1,5})(\.safetensors)", name)
    if not found:
        return []
    stem, number, of, count, end = found.groups()
    return [f"{stem}{shard:0{len(number)}d}{of}{count}{end}" for shard in range(1, int(count) + 1)]


def _required(url: str, name: str, path: str, sha256: str | None, report: Report) -> RemoteFile:
    """The file at `url`, which gets the name `path`. Raises ServiceError, also where it does not exist."""
    file = _look_up(url, name, path, sha256, report, optional=False)
    assert file is not None
    return file


def _optional(url: str, name: str, report: Report) -> RemoteFile | None:
    """The file at `url`; None where it does not exist. Raises ServiceError for any other fault."""
    return _look_up(url, name, name, None, report, optional=True)


def _look_up(
    url: str, name: str, path: str, sha256: str | None, report: Report, *, optional: bool
) -> RemoteFile | None:
    """Requests the first byte: the response tells how long the file is and whether the server sends parts of it."""

    def read(response: Response) -> tuple[int, str | None, bool]:
        ranges.require_uncompressed(label(name, url), name, response)
        sent = re.fullmatch(r"bytes 0-0/(\d+)", response.headers.get("Content-Range", ""))
        if sent:
            return int(sent[1]), ranges.version_of(response), response.status == 206
        length = response.headers.get("Content-Length")
        if length is None or not length.isdecimal():
            raise download_failed(label(name, url), "the server does not tell its size")
        return int(length), ranges.version_of(response), False

    answer = _request(url, name, report, read, {"Range": "bytes=0-0"}, optional=optional)
    if answer is None:
        return None
    size, version, parts = answer
    digest = sha256 or _published_digest(url, name, report)
    same_version = bool(digest or version)  # whether two parts can be shown to be of the same file
    return RemoteFile(path, url, size, digest, None, version, parts and same_version)


def _published_digest(url: str, name: str, report: Report) -> str | None:
    """The digest in the file `<name>.sha256` in the same folder, as sha256sum writes it, where there is one."""
    split = urlsplit(url)
    address = urlunsplit(split._replace(path=split.path + ".sha256"))
    content = _request(
        address, f"{name}.sha256", report, lambda response: response.read(DIGEST_BYTES), {}, optional=True
    )
    for line in (content or b"").decode("utf-8", "replace").splitlines():
        digest, _, file = line.strip().partition(" ")
        if re.fullmatch(r"[0-9a-fA-F]{64}", digest) and file.strip(" *") in ("", name):
            return str(digest).lower()
    return None


def _request(
    url: str,
    name: str,
    report: Report,
    read: Callable[[Response], Read],
    headers: dict[str, str],
    *,
    optional: bool,
) -> Read | None:
    """What `read` makes of the response; None where the file does not exist and is optional."""
    attempts = DownloadAttempts(label(name, url), report, listing=True)
    while True:
        try:
            request = urllib.request.Request(url, headers=headers)
            with redirects.open_url(request, timeout=download_faults.READ_TIMEOUT) as response:
                return read(response)
        except (OSError, HTTPException) as error:
            if optional and response_of(error)[0] in download_faults.ABSENT:
                return None
            attempts.wait_after(error)
