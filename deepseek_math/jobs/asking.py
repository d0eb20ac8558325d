"""Asks services, as many questions at once as they take, and tries again what may pass."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import httpx

from deepseek_math.jobs import JobError
from deepseek_math.local import client
from deepseek_math.retry import Attempts, RetryPolicy, may_pass
from deepseek_math.terminal import say

# Faults that may not happen again.
RETRIED = ("engine_failed", "engine_stalled", "sandbox_failed", "engine_busy", "engine_unreachable")
# A service that starts anew has a minute and a half: waits of 1.5, 6, 24 and 60 seconds.
RETRY = RetryPolicy(attempts=5, first_wait=1.5, factor=4.0, longest_wait=60.0)
STARTING = 406  # what Cog's server answers to a stream until its setup is over (coglet 0.23.1)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class AskingFailed(JobError):
    """A question has no completion: `passing` says whether a later try may have one.

    `prediction` is the service's own answer, where it gave one with an error code; `refused` says that it refused the
    request as it stands. With neither, the service does not answer at all.
    """

    def __init__(
        self,
        reason: str,
        passing: bool,
        prediction: dict[str, Any] | None = None,
        refused: bool = False,
        retry_after: str | None = None,
    ) -> None:
        self.passing = passing
        self.prediction = prediction
        self.refused = refused
        self.retry_after = retry_after  # the header of that name
        self.tries = 1
        super().__init__(reason)

    def __str__(self) -> str:
        times = f", {self.tries} times" if self.tries > 1 else ""
        return f"{super().__str__()}{times}"

    @property
    def code(self) -> str | None:
        """The error code that the service gave."""
        return error_code(self.prediction or {})

    @property
    def gone(self) -> bool:
        """Whether the service does not answer, which has nothing to do with this question."""
        return self.prediction is None and not self.refused


def error_code(prediction: dict[str, Any]) -> str | None:
    """The code of a prediction that failed; None also where Cog broke it off, which knows no codes."""
    code: str | None = (prediction.get("metrics") or {}).get("error_code")
    return code


async def ask(session: httpx.AsyncClient, url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """A prediction that succeeded. Raises AskingFailed."""
    attempts = Attempts(RETRY)
    while True:
        try:
            return await _try(session, url, inputs)
        except AskingFailed as failure:
            wait = attempts.wait_after_failure(failure.retry_after)
            if not failure.passing or wait is None:
                failure.tries = attempts.failures
                raise
            await asyncio.sleep(wait)


async def _try(session: httpx.AsyncClient, url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    try:
        prediction = await client.predict(session, url, inputs)
    except client.PredictionRefused as error:
        passing = error.status == STARTING or may_pass(error.status)
        reason = f"the service refused it: {error}"
        raise AskingFailed(reason, passing, refused=not passing, retry_after=error.retry_after) from error
    except httpx.HTTPError as error:
        raise AskingFailed(f"the service did not answer ({type(error).__name__}: {error})", passing=True) from error
    if prediction.get("status") == "succeeded":
        return prediction
    code = error_code(prediction)
    reason = f"the prediction {prediction.get('status')}: {prediction.get('error')}"
    # Without a code it was Cog that broke it off: its server ends, or its worker is gone.
    raise AskingFailed(reason, code is None or code in RETRIED, prediction if code else None)


async def at_once(
    items: Iterable[Item],
    answer: Callable[[Item, str], Coroutine[Any, Any, Answer]],
    urls: Sequence[str],
    in_flight: int,
) -> AsyncGenerator[Answer, None]:
    """What `answer` makes of each item at the address of a service, as it comes: `in_flight` at once at each address.

    What a service that is gone (`AskingFailed.gone`) has not answered is asked at the others. Raises what `answer`
    raises otherwise, and when the last one is gone. Closing the iterator cancels what is running.
    """
    waiting = iter(items)
    again: list[Item] = []
    free = deque(list(urls) * in_flight)
    left = set(urls)
    running: dict[asyncio.Task[Answer], tuple[Item, str]] = {}
    try:
        while True:
            while free:
                item = again.pop() if again else next(waiting, None)
                if item is None:
                    break
                url = free.popleft()
                running[asyncio.create_task(answer(item, url))] = (item, url)
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in done if task.exception()]
            for task in done.difference(failed):
                _, url = running.pop(task)
                if url in left:
                    free.append(url)
                yield task.result()
            for task in failed:
                item, url = running.pop(task)
                _require_others(task.exception(), url, left)
                again.append(item)
                free = deque(place for place in free if place in left)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _require_others(fault: BaseException | None, url: str, left: set[str]) -> None:
    """Takes the address of a service that is gone out of those that are left. Raises `fault` where it is another one,
    or where none is left."""
    assert fault is not None
    if not isinstance(fault, AskingFailed) or not fault.gone or left == {url}:
        raise fault
    if url in left:
        left.remove(url)
        say(f"{url} is left out from here on: {fault}")
