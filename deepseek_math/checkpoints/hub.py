"""Files of the model hub, by its own client: huggingface_hub, with hf_xet where the hub keeps a file in Xet.

The client's own `hf_hub_download` forgets an unfinished file when it ends (version 2.4.0 gives each process a
temporary name and removes it), so the parts that it is made of are used: they go on at any byte.
HF_ENDPOINT, HF_TOKEN and the client's other variables keep their meaning.
"""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from deepseek_math.checkpoints import remote_file
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import Interrupted, Patience, RemoteFile, failed, reason
from deepseek_math.checkpoints.table import Hub
from deepseek_math.errors import ServiceError

DEFAULT_QUANTISATION = "q4_k_m"
CHUNK = 1 << 16  # bytes that the client keeps to itself, and a drop takes along: its own 10 MB are many


def listing(hub: Hub, say: Callable[[str], None]) -> tuple[str, list[RemoteFile]]:
    """The commit that the revision means now, and the checkpoint's files at it. Raises ServiceError."""
    import huggingface_hub
    from httpx2 import HTTPError  # of the hub's client
    from huggingface_hub.errors import OfflineModeIsEnabled

    api = huggingface_hub.HfApi()
    patience = Patience(hub.repository, say, arriving=False, failed=_sentence)
    info = None
    while info is None:
        try:
            info = api.model_info(
                hub.repository, revision=hub.revision, files_metadata=True, timeout=remote_file.SILENCE
            )
        except Exception as error:
            if isinstance(error, OfflineModeIsEnabled) or not isinstance(error, OSError | HTTPError):
                raise _sentence(hub.repository, error, False) from error
            patience.after(error)
    commit = info.sha or hub.revision
    sizes = {file.rfilename: file for file in info.siblings or [] if file.size is not None}
    files = []
    for name in _wanted(hub, list(sizes)):
        file = sizes[name]
        url = huggingface_hub.hf_hub_url(hub.repository, name, revision=commit, endpoint=api.endpoint)
        digest = file.lfs.sha256 if file.lfs else None
        path = PurePosixPath(name).name if name.endswith(".gguf") else name  # which may lie in a folder of its own
        files.append(RemoteFile(path, url, file.size or 0, digest, None if digest else file.blob_id))
    return commit, files


def carry(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Brings `file` to `part`, going on after the bytes that are there."""
    from httpx2 import HTTPError

    patience = Patience(file.path, progress.note, failed=_sentence)
    while True:
        before = there(file, part)
        try:
            _append(file, part, progress)
            if there(file, part) == file.size:
                return
            raise Interrupted(f"{there(file, part)} bytes of {file.size} came")
        except (OSError, HTTPError, RuntimeError) as error:  # RuntimeError: hf_xet's
            patience.after(error, progress=there(file, part) > before)


def there(file: RemoteFile, part: Path) -> int:
    """How many bytes of `file` have arrived already."""
    return part.stat().st_size if part.exists() else 0


def _wanted(hub: Hub, names: list[str]) -> list[str]:
    """The files that make the checkpoint: one GGUF (or its splits), or safetensors, else .bin, with what is beside."""
    beside = [name for name in names if re.fullmatch(r"[^./][^/]*\.(json|model|jinja)", name)]
    if hub.tokenizer and {"config.json", "tokenizer.json"} <= set(beside):
        return [name for name in beside if not name.endswith(".index.json")]
    ggufs = [name for name in names if name.lower().endswith(".gguf")]
    kinds = (r"model(-\d+-of-\d+)?\.safetensors", r"[^./][^/]*\.safetensors", r"pytorch_model[^/]*\.bin")
    found = ([name for name in names if re.fullmatch(kind, name)] for kind in kinds)  # the first that there are: some
    weights = next(filter(None, found), [])  # repositories hold the same weights twice
    if weights and not hub.file:
        return beside + weights
    kind = hub.file or DEFAULT_QUANTISATION
    mark = re.compile(rf"(^|[^a-z0-9]){re.escape(kind.lower())}([^a-z0-9_]|$)")  # q6_k is not q6_k_l
    meant = [name for name in ggufs if mark.search(name.lower())] or (ggufs if not hub.file else [])
    series = {re.sub(r"-\d{5}-of-\d{5}\.gguf$", "", name) for name in meant}
    if len(series) != 1:
        raise ServiceError(
            "checkpoint_unusable",
            f"{hub.repository} has {len(series)} checkpoints that could be meant, not 1: it holds "
            f"{', '.join(sorted(ggufs)) or 'neither GGUF nor safetensors'}. Give the address of the file itself.",
        )
    return meant


def _append(file: RemoteFile, part: Path, progress: Progress) -> None:
    import huggingface_hub
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    from huggingface_hub.utils._runtime import is_xet_available

    metadata = huggingface_hub.get_hf_file_metadata(file.url)
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


def _sentence(name: str, error: Exception, kept: bool) -> ServiceError:
    """One sentence: what the hub itself says where it says something."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        fault = "the repository is gated: accept its terms on the hub, then set HF_TOKEN to your token"
    elif isinstance(error, errors.RepositoryNotFoundError):
        fault = "there is no such repository, or it is private: check the name, or set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        fault = "the repository has no such revision"
    elif isinstance(error, errors.HfHubHTTPError):
        fault = reason(error).replace("the server", "the hub", 1)
    elif isinstance(error, errors.OfflineModeIsEnabled):
        fault = "HF_HUB_OFFLINE is set, and its files are not here"
    elif isinstance(error, errors.HFValidationError):
        fault = "the hub has no such name: " + " ".join(str(error).split())
    else:
        fault = f"{constants.ENDPOINT} could not be reached or broke off ({type(error).__name__})"
    said = " ".join((getattr(error, "server_message", None) or "").split()).rstrip(".")
    return failed(name, fault.rstrip(".") + (f" (it says: {said})" if said else ""), kept)
