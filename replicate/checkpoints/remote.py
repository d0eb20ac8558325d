"""What every source says of its files before they are fetched, and how long to be patient with it."""

import email.utils
import errno
import time
import urllib.error
from dataclasses import dataclass
from http.client import HTTPException

from replicate.errors import ServiceError

SILENCE = 30.0  # seconds without a byte after which a connection is given up
FAILURES = 6  # in a row without a byte of progress, after which a download gives up
BACKOFF = 0.5  # seconds before the first further attempt; each next one waits twice as long
LONGEST_WAIT = 120.0  # seconds, the most that a server's Retry-After is obeyed
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may pass

REASONS = {
    401: "it wants a login. For the model hub, set HF_TOKEN",
    403: "it refuses access. For a gated repository, accept its terms on the hub and set HF_TOKEN",
    404: "there is no such file or repository",
    412: "the file has changed there",
    429: "it is asked too often",
}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a checkpoint. `path` is relative to the checkpoint's folder; sizes are bytes."""

    path: str
    url: str
    size: int
    sha256: str | None = None  # of the content, where the source publishes it
    git: str | None = None  # git's blob id (SHA-1), which the hub gives for small files instead
    etag: str | None = None
    ranges: bool = True  # whether the server sends parts of it

    def identity(self) -> str:
        """The same for the same content: what has arrived of a file may go on only with the same one."""
        return f"{self.size} {self.sha256 or self.git or f'{self.etag} {self.url}'}"


class Interrupted(OSError):
    """The server's answer is not what was asked for, or is shorter: worth another try."""


def failed(name: str, fault: object) -> ServiceError:
    return ServiceError(
        "download_failed",
        f"{name} could not be downloaded: {reason(fault)}. What has arrived is kept: start again to go on from there.",
    )


def wait_before(name: str, error: BaseException, failures: int) -> float:
    """Seconds to wait before another attempt after `failures` in a row. Raises ServiceError when there is no point."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise error
    status = getattr(error, "code", None) if isinstance(error, urllib.error.HTTPError) else None
    if (status is not None and status not in TEMPORARY) or failures >= FAILURES:
        raise failed(name, error) from error
    asked = _retry_after(error) if isinstance(error, urllib.error.HTTPError) else None
    return min(BACKOFF * 2 ** (failures - 1) if asked is None else asked, LONGEST_WAIT)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _status(status: int) -> str:
    return f"the server answers {status}: {REASONS.get(status, 'a fault of its own')}"


def reason(fault: object) -> str:
    """A fault in words, without a full stop."""
    if isinstance(fault, urllib.error.HTTPError):
        return _status(fault.code)
    if isinstance(fault, urllib.error.URLError):
        fault = fault.reason
    if isinstance(fault, TimeoutError):
        return "the server has gone silent"
    text = str(fault).strip().rstrip(".")
    return f"{type(fault).__name__}: {text}" if isinstance(fault, HTTPException) or not text else text


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Seconds or a date (RFC 9110, section 10.2.3)."""
    value = str(error.headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    date = email.utils.parsedate_tz(value)
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
