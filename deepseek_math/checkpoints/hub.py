"""Files of the model hub: which of a repository's files make the checkpoint, and their download (`hub_client.py`)."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from deepseek_math.checkpoints import hub_client
from deepseek_math.checkpoints.download_faults import BadResponse, DownloadAttempts
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile
from deepseek_math.checkpoints.table import Hub
from deepseek_math.errors import ServiceError

DEFAULT_QUANTISATION = "q4_k_m"
# Some repositories hold the same weights twice: the first kind that has files counts.
WEIGHTS = (r"model(-\d+-of-\d+)?\.safetensors", r"[^./][^/]*\.safetensors", r"pytorch_model[^/]*\.bin")
CONFIGURATION = r"[^./][^/]*\.(json|model|jinja)"
TOKENIZER = ("config.json", "tokenizer.json")


def list_files(hub: Hub, report: Callable[[str], None]) -> tuple[str, list[RemoteFile]]:
    """The commit that the revision means now, and the checkpoint's files at it. Raises ServiceError."""
    commit, listed = _repository_files(hub, report)
    files = []
    for name in _select(hub, list(listed)):
        file = listed[name]
        path = name
        if name.endswith(".gguf"):  # which may be in a folder of the repository
            path = PurePosixPath(name).name
        files.append(RemoteFile(path, file.url, file.size, file.sha256, file.git))
    return commit, files


def download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Downloads `file` to `part`, and resumes after the bytes that are there. Raises ServiceError."""
    attempts = DownloadAttempts(file.path, progress.note, to_error=hub_client.to_error)
    while True:
        before = received(file, part)
        try:
            _append(file, part, progress)
            size = received(file, part)
            if size == file.size:
                return
            raise BadResponse(f"{size} bytes of {file.size} came")
        except hub_client.TRANSIENT as error:
            attempts.wait_after(error, progress=received(file, part) > before)


def received(file: RemoteFile, part: Path) -> int:
    """Bytes of `file` that have been downloaded."""
    return part.stat().st_size if part.exists() else 0


def _repository_files(hub: Hub, report: Callable[[str], None]) -> tuple[str, dict[str, hub_client.HubFile]]:
    attempts = DownloadAttempts(hub.repository, report, listing=True, to_error=hub_client.to_error)
    while True:
        try:
            return hub_client.repository_files(hub.repository, hub.revision)
        except Exception as error:
            if not hub_client.may_retry_listing(error):
                raise hub_client.to_error(hub.repository, error, False) from error
            attempts.wait_after(error)


def _append(file: RemoteFile, part: Path, progress: Progress) -> None:
    with part.open("ab") as target:
        if target.tell() > file.size:
            target.truncate(0)
        if target.tell() < file.size:
            hub_client.append(file, target, progress)


def _select(hub: Hub, names: list[str]) -> list[str]:
    """The files that make the checkpoint: a GGUF file (or its splits), or weights with the files beside them."""
    configuration = [name for name in names if re.fullmatch(CONFIGURATION, name)]
    if hub.tokenizer and set(TOKENIZER) <= set(configuration):
        return [name for name in configuration if not name.endswith(".index.json")]
    if not hub.file:
        for kind in WEIGHTS:
            weights = [name for name in names if re.fullmatch(kind, name)]
            if weights:
                return configuration + weights
    return _select_gguf(hub, [name for name in names if name.lower().endswith(".gguf")])


def _select_gguf(hub: Hub, ggufs: list[str]) -> list[str]:
    """The GGUF file of the quantisation, or all its splits. Raises ServiceError where that is not one checkpoint."""
    quantisation = (hub.file or DEFAULT_QUANTISATION).lower()
    mark = re.compile(rf"(^|[^a-z0-9]){re.escape(quantisation)}([^a-z0-9_]|$)")  # q6_k is not q6_k_l
    found = [name for name in ggufs if mark.search(name.lower())]
    if not found and not hub.file:
        found = ggufs
    checkpoints = {re.sub(r"-\d{5}-of-\d{5}\.gguf$", "", name) for name in found}
    if len(checkpoints) != 1:
        held = ", ".join(sorted(ggufs)) or "neither GGUF nor safetensors files"
        raise ServiceError(
            "checkpoint_unusable",
            f"{hub.repository} has {len(checkpoints)} matching checkpoints, not 1. It holds: {held}. "
            "Give the http(s) address of the file you want.",
        )
    return found
