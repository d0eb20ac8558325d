"""What can go wrong with a download: which faults are retried, how long the waits are, and the words for each fault."""

import errno
import time
import urllib.error
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from deepseek_math.certificates import causes, distrust
from deepseek_math.errors import ServiceError
from deepseek_math.retry import Attempts, RetryPolicy, may_pass

READ_TIMEOUT = 30.0  # seconds without a byte after which a connection is given up
RETRY = RetryPolicy(attempts=6, first_wait=0.5, longest_wait=120.0)  # attempts in a row without a byte of progress
REFUSED_ATTEMPTS = 3  # in a row while files are listed and the connection is refused: no server runs there
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ABSENT = (403, 404, 410)  # statuses for a file that may be missing: S3 says 403 to those who may not list its folder

REASONS = {
    401: "it requires a login. For the model hub, set HF_TOKEN",
    403: "it refuses access. For a gated repository, accept its terms on the hub and set HF_TOKEN",
    404: "there is no such file or repository",
    412: "the file has changed on the server",
    429: "too many requests",
}


class BadResponse(OSError):
    """The server's answer is not what was asked for, or is too short. Another attempt may succeed."""


def download_failed(name: str, fault: object, kept: bool = False) -> ServiceError:
    """The error for people. `kept`: a part may have been downloaded, and stays."""
    message = f"{name} could not be downloaded: {reason(fault)}."
    if kept:
        message += " What has been downloaded is kept: start again to resume."
    return ServiceError("download_failed", message)


class DownloadAttempts:
    """The attempts at one request: after each fault it reports a line and waits, or gives up.

    `listing`: the request asks about a file; its content is not being downloaded yet.
    """

    def __init__(
        self,
        name: str,
        report: Callable[[str], None],
        *,
        listing: bool = False,
        sleep: Callable[[float], object] = time.sleep,
        to_error: Callable[[str, Exception, bool], ServiceError] = download_failed,
    ) -> None:
        self._name = name
        self._report = report
        self._listing = listing
        self._sleep = sleep
        self._to_error = to_error
        self._attempts = Attempts(RETRY)

    def wait_after(self, error: Exception, progress: bool = False) -> None:
        """Waits before the next attempt; `progress`: some bytes had arrived before the fault.

        Raises ServiceError where another attempt is useless or there have been enough, and OSError for a full disk.
        """
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise error
        status, headers = response_of(error)
        if (status is not None and not may_pass(status)) or distrust(error):
            raise self._to_error(self._name, error, False) from error
        if progress:
            self._attempts.made_progress()
        wait = self._attempts.wait_after_failure(headers.get("Retry-After"))
        if self._listing and connection_refused(error) and self._attempts.failures >= REFUSED_ATTEMPTS:
            wait = None
        if wait is None:
            raise self._to_error(self._name, error, not self._listing) from error
        self._report(f"{self._name}: {reason(error)}; trying again in {wait:g} s")
        self._sleep(wait)


def response_of(error: object) -> tuple[int | None, Mapping[str, str] | Any]:
    """HTTP status and headers, where the error is a server's response to urllib or to the hub's client."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code, error.headers
    response = getattr(error, "response", None)
    if response is None:
        return None, {}
    return int(response.status_code), response.headers


def reason(fault: object) -> str:
    """A fault in words, without a full stop."""
    status, _ = response_of(fault)
    if status is not None:
        return f"the server answers {status}: {REASONS.get(status, 'an error on its side')}"
    distrusted = distrust(fault)
    if distrusted:
        return distrusted
    if isinstance(fault, urllib.error.URLError):
        fault = fault.reason
    if isinstance(fault, TimeoutError):
        return "the server stopped sending (timeout)"
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused: no server is running there"
    text = str(fault).strip().rstrip(".")
    if isinstance(fault, HTTPException) or not text:
        return f"{type(fault).__name__}: {text}"
    return text


def connection_refused(error: BaseException) -> bool:
    """Whether the error, or one that caused it, is a refused connection."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in causes(error))
