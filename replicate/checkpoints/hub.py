"""Files of the model hub, by its own client: huggingface_hub, with hf_xet where the hub keeps a file in Xet.

The client's own `hf_hub_download` forgets an unfinished file when it ends (version 2.4.0 gives each process a
temporary name and removes it), so the parts that it is made of are used: they go on at any byte.
HF_ENDPOINT, HF_TOKEN and the client's other variables keep their meaning.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from replicate.checkpoints import remote
from replicate.checkpoints.progress import Progress
from replicate.checkpoints.remote import Interrupted, RemoteFile, failed, wait_before
from replicate.checkpoints.table import Hub
from replicate.errors import ServiceError

DEFAULT_QUANTISATION = "q4_k_m"
CHUNK = 1 << 16  # bytes that the client keeps to itself, and a drop takes along: its own 10 MB are many


def listing(hub: Hub) -> tuple[str, list[RemoteFile]]:
    """The commit that the revision means now, and the checkpoint's files at it. Raises ServiceError."""
    import huggingface_hub

    with _said(hub.repository):
        api = huggingface_hub.HfApi()
        info = api.model_info(hub.repository, revision=hub.revision, files_metadata=True, timeout=remote.SILENCE)
    commit = info.sha or hub.revision
    sizes = {file.rfilename: file for file in info.siblings or [] if file.size is not None}
    files = []
    for name in _wanted(hub, list(sizes)):
        file = sizes[name]
        url = huggingface_hub.hf_hub_url(hub.repository, name, revision=commit, endpoint=api.endpoint)
        digest = file.lfs.sha256 if file.lfs else None
        files.append(RemoteFile(name, url, file.size or 0, digest, None if digest else file.blob_id))
    return commit, files


def carry(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Brings `file` to `part`, going on after the bytes that are there."""
    from httpx2 import HTTPError  # of the hub's client

    failures = 0
    while True:
        before = there(file, part)
        try:
            _append(file, part, progress)
            if there(file, part) == file.size:
                return
            raise Interrupted(f"{there(file, part)} bytes of {file.size} came")
        except (OSError, HTTPError, RuntimeError) as error:  # RuntimeError: hf_xet's
            failures = 1 if there(file, part) > before else failures + 1
            time.sleep(_wait(file.path, error, failures))


def there(file: RemoteFile, part: Path) -> int:
    """How many bytes of `file` have arrived already."""
    return part.stat().st_size if part.exists() else 0


def _wanted(hub: Hub, names: list[str]) -> list[str]:
    """The files that make the checkpoint: one GGUF (or its splits), or safetensors, else .bin, with what is beside."""
    ggufs = [name for name in names if name.lower().endswith(".gguf")]
    weights = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    weights = weights or [name for name in names if re.fullmatch(r"pytorch_model.*\.bin", name)]
    if weights and not hub.file:
        return [name for name in names if "/" not in name and name.endswith((".json", ".model", ".jinja"))] + weights
    kind = hub.file or DEFAULT_QUANTISATION
    mark = re.compile(rf"(^|[^a-z0-9]){re.escape(kind.lower())}([^a-z0-9]|$)")
    found = [name for name in ggufs if mark.search(name.lower())] or (ggufs if not hub.file else [])
    series = {re.sub(r"-\d{5}-of-\d{5}\.gguf$", "", name) for name in found}
    if len(series) != 1:
        raise ServiceError(
            "checkpoint_unusable",
            f"{hub.repository} has {len(series)} checkpoints that could be meant, not 1: it holds "
            f"{', '.join(sorted(ggufs)) or 'neither GGUF nor safetensors'}. Give the address of the file itself.",
        )
    return found


def _append(file: RemoteFile, part: Path, progress: Progress) -> None:
    import huggingface_hub
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    from huggingface_hub.utils._runtime import is_xet_available

    metadata = huggingface_hub.get_hf_file_metadata(file.url, retry_on_errors=True)
    headers = build_hf_headers()
    with part.open("ab") as target:
        if target.tell() > file.size:
            target.truncate(0)
        if target.tell() == file.size:
            return
        if metadata.xet_file_data and is_xet_available():
            _xet(metadata.xet_file_data, headers, file, target, progress)
            return
        if urlsplit(metadata.location).netloc != urlsplit(file.url).netloc:
            headers.pop("authorization", None)  # a signed address elsewhere, which the token is no business of
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK
        file_download.http_get(
            metadata.location,
            _Counted(target, progress),  # type: ignore[arg-type]
            resume_size=target.tell(),
            headers=headers,
            expected_size=file.size,
            tqdm_class=_silent(),
        )


def _xet(data: Any, headers: dict[str, str], file: RemoteFile, target: BinaryIO, progress: Progress) -> None:
    """Xet's stream from the byte where the file ends."""
    from hf_xet import XetFileInfo
    from huggingface_hub.utils._xet import get_xet_session, refresh_xet_connection_info, xet_headers_without_auth

    connection = refresh_xet_connection_info(file_data=data, headers=headers)
    group = get_xet_session().new_download_stream_group(  # type: ignore[no-untyped-call]
        endpoint=connection.endpoint,
        token=connection.access_token,
        token_expiry_unix_secs=connection.expiration_unix_epoch,
        token_refresh_url=data.refresh_route,
        token_refresh_headers=headers,
        custom_headers=xet_headers_without_auth(headers),
    )
    for block in group.download_stream(XetFileInfo(data.file_hash, file.size), start=target.tell()):
        target.write(block)
        progress.add(len(block))


class _Counted:
    """A file that reports what is written to it, which is all that `http_get` does with it but for starting anew."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file, self._progress = file, progress
        self.tell, self.seek = file.tell, file.seek

    def write(self, data: bytes) -> int:
        self._progress.add(len(data))
        return self._file.write(data)

    def truncate(self) -> int:
        here = self._file.tell()
        end = self._file.seek(0, 2)
        self._progress.lose(end - here)
        return self._file.truncate(here)


def _silent() -> Any:
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **(options | {"disable": True}))

    return Silent


@contextmanager
def _said(name: str) -> Iterator[None]:
    """The hub's reason, in a sentence, for whatever its client raises."""
    try:
        yield
    except Exception as error:
        raise _sentence(name, error) from error


def _wait(name: str, error: Exception, failures: int) -> float:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        status = int(error.response.status_code)
        if status not in remote.TEMPORARY or failures >= remote.FAILURES:
            raise _sentence(name, error) from error
        return float(remote.BACKOFF * 2 ** (failures - 1))
    try:
        return wait_before(name, error, failures)
    except ServiceError:
        raise _sentence(name, error) from error


def _sentence(name: str, error: Exception) -> ServiceError:
    """One sentence: what the hub itself says where it says something."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        reason = "the repository is gated: accept its terms on the hub, then set HF_TOKEN to your token"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "there is no such repository, or it is private: check the name, or set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = "the repository has no such revision"
    elif isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        reason = f"the hub answers {status}: {remote.REASONS.get(status, 'a fault of its own')}"
    else:
        reason = f"{constants.ENDPOINT} could not be reached or broke off ({type(error).__name__})"
    said = " ".join((getattr(error, "server_message", None) or "").split()).rstrip(".")
    return failed(name, f"{reason}" + (f" (it says: {said})" if said else ""))
