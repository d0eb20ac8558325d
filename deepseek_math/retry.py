"""When a failed call is tried again: how often, after which waits, and what a server's Retry-After changes.

The caller keeps its loop, and sleeps as it likes, in a thread or an event loop:

    attempts = Attempts(RetryPolicy(attempts=4))
    while True:
        try:
            return call()
        except TimeoutError:
            wait = attempts.wait_after_failure()
            if wait is None:
                raise
            time.sleep(wait)

The package tenacity is not used: it knows neither Retry-After nor progress that starts the count anew, so that each
caller would need as much code for those as is here.
"""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

TEMPORARY_STATUSES = (408, 425, 429)  # HTTP statuses of the client's side that may pass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often. All times are seconds; None is no limit."""

    attempts: int | None = None  # at most, the first one included
    seconds: float | None = None  # from the first attempt on; none begins later
    first_wait: float = 0.5
    factor: float = 2.0  # each wait is so many times the one before
    longest_wait: float = 30.0  # also for what a server asks for

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"a call is tried at least once, not {self.attempts} times")
        if min(self.first_wait, self.longest_wait, self.seconds or 0.0) < 0.0 or self.factor < 1.0:
            raise ValueError(f"waits are 0 s or more and never get shorter: {self}")

    def wait(self, failures: int, retry_after: str | None = None) -> float:
        """Seconds to wait after so many failures in a row; what the server's Retry-After asks for goes first."""
        asked = parse_retry_after(retry_after)
        if asked is None:
            asked = self.first_wait * self.factor ** min(failures - 1, 64)  # more would overflow
        return min(asked, self.longest_wait)


class Attempts:
    """Counts the failures of one call, whose first attempt begins now."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._began = time.monotonic()
        self.failures = 0  # in a row

    def wait_after_failure(self, retry_after: str | None = None) -> float | None:
        """Counts a failure; the seconds to wait before the next attempt, or None when there is none left."""
        self.failures += 1
        policy = self._policy
        if policy.attempts is not None and self.failures >= policy.attempts:
            return None
        wait = policy.wait(self.failures, retry_after)
        if policy.seconds is not None and time.monotonic() + wait > self._began + policy.seconds:
            return None
        return wait

    def made_progress(self) -> None:
        """The call brought something before it failed: its failures are counted anew."""
        self.failures = 0


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later, by the HTTP status of the answer. 501 says that it never will."""
    return status in TEMPORARY_STATUSES or (status >= 500 and status != 501)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds, from a number of seconds or an HTTP date (RFC 9110, section 10.2.3); None where it is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
