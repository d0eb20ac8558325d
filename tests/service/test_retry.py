"""When a failed call is tried again: one rule for downloads, remote engines, the client and evaluations."""

import asyncio
import email.utils
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from deepseek_math.answers import judging
from deepseek_math.bench import streams
from deepseek_math.engines.remote import completions_client
from deepseek_math.jobs import asking
from deepseek_math.local import client
from deepseek_math.retry import Attempts, RetryPolicy, may_pass, parse_retry_after
from tests.support.loopback import LoopbackServer, running

POLICIES = {
    "remote engine": completions_client.RETRY,
    "client": client.BUSY_RETRY,
    "benchmark": streams.BUSY_RETRY,
    "evaluation": asking.RETRY,
    "workers that compare answers": judging.START_RETRY,
}


def waits(policy: RetryPolicy, retry_after: str | None = None) -> Iterator[float]:
    attempts = Attempts(policy)
    while (wait := attempts.wait_after_failure(retry_after)) is not None:
        yield wait


def date(seconds: float) -> str:
    """An HTTP date so many seconds from now."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def test_each_wait_is_longer_by_the_factor_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=6, first_wait=0.5, factor=2.0, longest_wait=3.0)
    assert list(waits(policy)) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert list(waits(RetryPolicy(attempts=1))) == []


def test_without_a_bound_the_attempts_go_on_for_ever() -> None:
    assert list(islice(waits(RetryPolicy(longest_wait=60.0)), 5000))[-1] == 60.0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_a_retry_after_is_obeyed_as_seconds_and_as_a_date_and_never_beyond_the_longest_wait(
    policy: RetryPolicy,
) -> None:
    soon = policy.longest_wait * 0.9
    assert policy.wait(1, f" {int(soon)} ") == int(soon)
    assert policy.wait(1, "0") == policy.wait(1, date(-100)) == 0.0
    assert 0.0 < policy.wait(1, date(soon)) <= soon  # a date has whole seconds
    for long in ("999999", "9" * 400, date(1e6)):
        assert policy.wait(1, long) == policy.longest_wait


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "²", "Fri, 31 Dec 99999 23:59:59 GMT"])
def test_a_retry_after_that_means_nothing_changes_nothing(value: str | None) -> None:
    assert parse_retry_after(value) is None
    policy = RetryPolicy(attempts=4)
    assert list(waits(policy, value)) == list(waits(policy))


def test_no_attempt_begins_once_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    attempts = Attempts(RetryPolicy(seconds=5.0, factor=1.0))
    clock[0] = 104.5
    assert attempts.wait_after_failure() == 0.5
    clock[0] = 104.6
    assert attempts.wait_after_failure() is None
    assert Attempts(RetryPolicy(seconds=5.0)).wait_after_failure("60") is None
    assert Attempts(RetryPolicy(seconds=0.0)).wait_after_failure() is None


def test_progress_starts_the_count_anew() -> None:
    attempts = Attempts(RetryPolicy(attempts=3))
    for _ in range(10):
        attempts.made_progress()
        assert [attempts.wait_after_failure() for _ in "12"] == [0.5, 1.0]
    assert attempts.wait_after_failure() is None


def test_what_a_server_says_of_itself_may_pass_and_what_it_says_of_the_request_does_not() -> None:
    assert all(may_pass(status) for status in (408, 425, 429, 500, 502, 503, 504, 524))
    assert not any(may_pass(status) for status in (200, 301, 400, 401, 403, 404, 409, 412, 422, 501))


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_wait": -1.0}, {"longest_wait": -1.0}, {"factor": 0.5}, {"seconds": -1.0}]
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"a call is tried|waits are"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


class FullService(LoopbackServer):
    """Its slots are taken for the first requests, with each Retry-After in turn; then it answers one prediction."""

    def __init__(self, *retry_after: str) -> None:
        super().__init__(_FullService)
        self.retry_after = list(retry_after)


class _FullService(BaseHTTPRequestHandler):
    server: FullService

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        busy = bool(self.server.retry_after)
        self.send_response(409 if busy else 200)
        if busy:
            self.send_header("Retry-After", self.server.retry_after.pop(0))
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if not busy:
            self.wfile.write(b'event: completed\ndata: {"status": "succeeded"}\n\n')

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


async def test_the_client_obeys_a_full_service_s_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    # The module's own names, not the functions: other threads of this process sleep too.
    own_time = SimpleNamespace(sleep=waited.append, perf_counter=time.perf_counter, monotonic=time.monotonic)
    monkeypatch.setattr("deepseek_math.local.client.time", own_time)
    monkeypatch.setattr("deepseek_math.local.client.asyncio", SimpleNamespace(sleep=sleep))
    longest = client.BUSY_RETRY.longest_wait
    with running(FullService("2", date(3600))) as service:
        events = await asyncio.to_thread(lambda: list(client.stream(service.url, {}, patience=60.0)))
    assert [event.kind for event in events] == ["completed"]
    with running(FullService("2", date(3600))) as service:
        async with client.crowd(1) as session:
            assert (await client.predict(session, service.url, {}))["status"] == "succeeded"
    assert waited == [2.0, longest] * 2
