"""What every source says of its files before they are fetched, and how long to be patient with it."""

import email.utils
import errno
import re
import time
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

from deepseek_math.errors import ServiceError

SILENCE = 30.0  # seconds without a byte after which a connection is given up
FAILURES = 6  # in a row without a byte of progress, after which a download gives up
REFUSALS = 3  # of a connection in a row, before anything has arrived: nobody listens there
BACKOFF = 0.5  # seconds before the first further attempt; each next one waits twice as long
LONGEST_WAIT = 120.0  # seconds, the most that a server's Retry-After is obeyed
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may pass
ABSENT = {403, 404, 410}  # of a file that may be missing: 403 is how S3 says it to strangers

REASONS = {
    401: "it wants a login. For the model hub, set HF_TOKEN",
    403: "it refuses access. For a gated repository, accept its terms on the hub and set HF_TOKEN",
    404: "there is no such file or repository",
    412: "the file has changed there",
    429: "it is asked too often",
}


def is_plain(path: str) -> bool:
    """Whether a relative path stays where it is put: no `..`, nothing hidden, no part too long for a file's name."""
    return all(re.fullmatch(r"[^./\\\0][^/\\\0]*", part) and len(part.encode()) <= 200 for part in path.split("/"))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a checkpoint. `path` is relative to the checkpoint's folder; sizes are bytes."""

    path: str
    url: str
    size: int
    sha256: str | None = None  # of the content, where the source publishes it
    git: str | None = None  # git's blob id (SHA-1), which the hub gives for small files instead
    etag: str | None = None
    ranges: bool = True  # whether parts of it can be had that are sure to be of the same file

    def __post_init__(self) -> None:
        if not is_plain(self.path):
            raise ServiceError("checkpoint_unusable", f"{self.path[:300]!r} is no name for a file of a checkpoint.")

    def identity(self) -> str | None:
        """The same for the same content: what has arrived of a file may go on only with the same one. None: unknown."""
        known = self.sha256 or self.git or (self.etag and f"{self.etag} {self.url}")
        return f"{self.size} {known}" if known else None

    @property
    def label(self) -> str:
        """The file and the host it comes from, for people."""
        return label(self.path, self.url)


class Interrupted(OSError):
    """The server's answer is not what was asked for, or is shorter: worth another try."""


def label(name: str, url: str) -> str:
    return f"{name} from {urlsplit(url).netloc.rpartition('@')[2]}"


def failed(name: str, fault: object, kept: bool = False) -> ServiceError:
    """`kept`: something may have arrived."""
    tail = " What has arrived is kept: start again to go on from there." if kept else ""
    return ServiceError("download_failed", f"{name} could not be downloaded: {reason(fault)}.{tail}")


@dataclass(slots=True)
class Patience:
    """How often the same thing is tried, and how long is waited in between, with a line each time."""

    name: str
    say: Callable[[str], None]
    arriving: bool = True  # the file itself, not what is said of it
    sleep: Callable[[float], object] = time.sleep
    failed: Callable[[str, Exception, bool], ServiceError] = failed
    failures: int = 0  # in a row

    def after(self, error: Exception, progress: bool = False) -> None:
        """Waits before the next attempt. Raises ServiceError when there is no point, and OSError for a full disk."""
        self.failures = 1 if progress else self.failures + 1
        if isinstance(error, OSError) and error.errno in FULL:
            raise error
        status, headers = answered(error)
        most = REFUSALS if not self.arriving and _nobody_listens(error) else FAILURES
        lasting = status is not None and status not in TEMPORARY
        if lasting or self.failures >= most:
            raise self.failed(self.name, error, self.arriving and not lasting) from error
        asked = _retry_after(headers)
        seconds = min(BACKOFF * 2 ** (self.failures - 1) if asked is None else asked, LONGEST_WAIT)
        self.say(f"{self.name}: {reason(error)}; trying again in {seconds:g} s")
        self.sleep(seconds)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def answered(error: object) -> tuple[int | None, Mapping[str, str]]:
    """Status and headers, where the fault is a server's answer, to urllib or to the hub's client."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code, dict(error.headers.items())
    response = getattr(error, "response", None)
    return (None, {}) if response is None else (int(response.status_code), response.headers)


def reason(fault: object) -> str:
    """A fault in words, without a full stop."""
    status = answered(fault)[0]
    if status is not None:
        return f"the server answers {status}: {REASONS.get(status, 'a fault of its own')}"
    if isinstance(fault, urllib.error.URLError):
        fault = fault.reason
    if isinstance(fault, TimeoutError):
        return "the server has gone silent"
    if isinstance(fault, ConnectionRefusedError):
        return "nobody listens there (connection refused)"
    text = str(fault).strip().rstrip(".")
    return f"{type(fault).__name__}: {text}" if isinstance(fault, HTTPException) or not text else text


def _nobody_listens(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ConnectionRefusedError):
        inner = error.reason if isinstance(error, urllib.error.URLError) else error.__cause__ or error.__context__
        error = inner if isinstance(inner, BaseException) else None
    return error is not None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds or a date (RFC 9110, section 10.2.3)."""
    value = str(headers.get("Retry-After", "")).strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
