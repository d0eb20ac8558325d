"""The model hub's own client, huggingface_hub: the only file that uses it, some of its private functions among them.

Its `hf_hub_download` is not used: it forgets an unfinished file when it ends (version 2.4.0 gives each process a
temporary name and removes it). The functions below it can resume at any byte, but may change with any version, so
`checkpoint_download.source_module` compares the version before it imports this file. HF_ENDPOINT, HF_TOKEN and the
client's other variables keep their meaning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import huggingface_hub
from httpx2 import HTTPError
from huggingface_hub import constants, errors

from deepseek_math.certificates import distrust
from deepseek_math.checkpoints.download_faults import READ_TIMEOUT, download_failed, reason
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile
from deepseek_math.errors import ServiceError

CHUNK = 1 << 16  # bytes that the client holds back, and a dropped connection loses: its own 10 MB are too many
TRANSIENT = (OSError, HTTPError, RuntimeError)  # errors that may pass: hf_xet raises RuntimeError
REASONS: tuple[tuple[type[Exception], str], ...] = (  # the first that fits: a gated repository is also a missing one
    (errors.GatedRepoError, "the repository is gated: accept its terms on the hub, then set HF_TOKEN to your token"),
    (errors.RepositoryNotFoundError, "there is no such repository, or it is private: check the name, or set HF_TOKEN"),
    (errors.RevisionNotFoundError, "the repository has no such revision"),
    (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set, and the files have not been downloaded"),
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository, as the hub lists it."""

    name: str
    url: str
    size: int
    sha256: str | None
    git: str | None  # the blob id, for a file without sha256


def repository_files(repository: str, revision: str) -> tuple[str, dict[str, HubFile]]:
    """The commit that the revision means now, and the files by name. Raises what the client raises."""
    api = huggingface_hub.HfApi()
    info = api.model_info(repository, revision=revision, files_metadata=True, timeout=READ_TIMEOUT)
    commit = info.sha or revision
    files = {}
    for entry in info.siblings or []:
        if entry.size is not None:
            name = entry.rfilename
            url = huggingface_hub.hf_hub_url(repository, name, revision=commit, endpoint=api.endpoint)
            sha256 = entry.lfs.sha256 if entry.lfs else None
            files[name] = HubFile(name, url, entry.size, sha256, None if sha256 else entry.blob_id)
    return commit, files


def append(file: RemoteFile, target: BinaryIO, progress: Progress) -> None:
    """Downloads what `target`, open for appending, lacks of `file`. Raises what the client raises."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    from huggingface_hub.utils._runtime import is_xet_available

    metadata = huggingface_hub.get_hf_file_metadata(file.url)
    headers = build_hf_headers()
    if metadata.xet_file_data and is_xet_available():
        _append_from_xet(metadata.xet_file_data, headers, file, target, progress)
        return
    if urlsplit(metadata.location).netloc != urlsplit(file.url).netloc:
        headers.pop("authorization", None)  # a signed address on another host, which must not see the token
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    file_download.http_get(
        metadata.location,
        _ReportingFile(target, progress),  # type: ignore[arg-type]
        resume_size=target.tell(),
        headers=headers,
        expected_size=file.size,
        tqdm_class=_silent_bar(),
    )


def may_retry_listing(error: Exception) -> bool:
    return isinstance(error, OSError | HTTPError) and not isinstance(error, errors.OfflineModeIsEnabled)


def to_error(name: str, error: Exception, kept: bool) -> ServiceError:
    """The client's error in one sentence, with the hub's own words where it says something."""
    message = _reason(error).rstrip(".")
    said = " ".join((getattr(error, "server_message", None) or "").split()).rstrip(".")
    if said:
        message += f" (the hub says: {said})"
    return download_failed(name, message, kept)


def _reason(error: Exception) -> str:
    for kind, text in REASONS:
        if isinstance(error, kind):
            return text
    if isinstance(error, errors.HfHubHTTPError):
        return reason(error).replace("the server", "the hub", 1)
    if isinstance(error, errors.HFValidationError):
        return "this is not a valid name on the hub: " + " ".join(str(error).split())
    if distrust(error):
        return f"{constants.ENDPOINT}: {distrust(error)}"
    return f"{constants.ENDPOINT} could not be reached, or the connection broke ({type(error).__name__})"


def _append_from_xet(
    data: Any, headers: dict[str, str], file: RemoteFile, target: BinaryIO, progress: Progress
) -> None:
    """The hub's storage Xet, as a stream from the byte where `target` ends."""
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


class _ReportingFile:
    """A file that reports what is written to it: the client's `http_get` writes, and truncates it to start anew."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file, self._progress = file, progress
        self.tell: Callable[[], int] = file.tell
        self.seek: Callable[..., int] = file.seek

    def write(self, data: bytes) -> int:
        self._progress.add(len(data))
        return self._file.write(data)

    def truncate(self) -> int:
        position = self._file.tell()
        end = self._file.seek(0, 2)
        self._progress.lose(end - position)
        return self._file.truncate(position)


def _silent_bar() -> Any:
    """The client insists on a progress bar; ours is `download_progress.py`."""
    from tqdm import tqdm

    class SilentBar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **(options | {"disable": True}))

    return SilentBar
