"""The worker processes that compare answers: two work, one waits with its imports done; one that hangs is killed."""

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from deepseek_math.answers.forms import Number
from deepseek_math.answers.reading import read
from deepseek_math.answers.spelling import key
from deepseek_math.logs import Private
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy

SECONDS = 2.0  # wall time of one comparison, from when a worker takes it
WORKERS = 2  # comparisons at once
MAX_LENGTH = 2000  # characters of an answer that are read at all
CACHED = 4096  # pairs remembered
STARTING = 60.0  # seconds for a worker's imports, on a machine that is busy with something else
START_RETRY = RetryPolicy(first_wait=1.0, longest_wait=60.0)  # of a worker that did not start
MAX_NUMBER = 60  # characters of an answer that is read here
NOT_EQUAL = "not equal: %s (%.60r, %.60r)"  # in the log

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two answers are the same, and the seconds of a worker's time that it took to say so.

    `reason` says why the comparison failed: `equal` is False then, though nothing was decided.
    """

    equal: bool
    seconds: float = 0.0
    reason: str = ""


class _Worker:
    """A process that compares, once it has said that it is ready."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "_Worker":
        """Started as a fresh interpreter: a fork of a process with threads is not safe, and `__main__` is not ours."""
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        command = [sys.executable, "-P", "-m", "deepseek_math.answers.worker"]
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
        worker = cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment))
        try:
            hello = await asyncio.wait_for(worker._line(), STARTING)
            if not hello["ready"]:
                raise RuntimeError(
                    f"mpmath is installed but wrong here: {hello['reason'] or 'sqrt(8)/2 is not sqrt(2)'}"
                )
        except BaseException:
            await worker.kill()
            raise
        return worker

    async def compare(self, a: str, b: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"a": a, "b": b}).encode() + b"\n")
        return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the worker died, and if of an error, its traceback is in the log")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """Kills the process; one that has closed its pipe is ending by itself, and asyncio would miss how."""
        assert self._process.stdout is not None
        if self._process.stdout.at_eof():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 1)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Judge:
    """Compares answers in `workers` processes and keeps one more warm for the next that has to be killed."""

    def __init__(self, workers: int = WORKERS, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._processes = workers + 1
        self._turns = asyncio.Semaphore(workers)
        self._idle: asyncio.Queue[_Worker | Exception] = asyncio.Queue()  # or why there is none
        self._known: OrderedDict[tuple[str, str], Verdict] = OrderedDict()
        self._running: dict[tuple[str, str], asyncio.Task[Verdict]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._started = self._closed = False
        self._fault: Exception | None = None

    async def start(self) -> None:
        """Waits for the first worker. Raises RuntimeError if algebra does not work here, as when mpmath is missing."""
        self.begin()
        worker = await self._worker()
        if isinstance(worker, Exception):
            raise RuntimeError(f"answers cannot be compared: {worker}") from worker
        self._idle.put_nowait(worker)

    async def close(self) -> None:
        """Ends all workers, busy or not. Comparisons after that are of text only."""
        self._closed = True
        starting = [*self._chores, *self._running.values()]
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*self._chores)  # those that kill the workers of the comparisons just cut off
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if isinstance(worker, _Worker):
                await worker.kill()

    async def equivalent(self, a: str, b: str) -> bool:
        """Whether two answers say the same. Never raises, and no pair of strings takes longer than its turn and 2 s."""
        return (await self.compare(a, b)).equal

    async def compare(self, a: str, b: str, again: bool = False) -> Verdict:
        """`equivalent`, and what it has cost. `again` asks a worker even if the answer is known."""
        if (obvious := _obvious(a, b)) is not None:
            return Verdict(obvious)
        pair = (min(a, b), max(a, b))
        if pair in self._known and not again:
            self._known.move_to_end(pair)
            return replace(self._known[pair], seconds=0.0)
        if self._closed:
            return Verdict(False)
        self.begin()
        if pair not in self._running:
            self._running[pair] = asyncio.create_task(self._decide(pair))
        try:
            return await asyncio.shield(self._running[pair])  # a caller who leaves does not spoil it for the others
        except asyncio.CancelledError:
            if self._closed:
                return Verdict(False)
            raise

    async def _decide(self, pair: tuple[str, str]) -> Verdict:
        try:
            async with self._turns:
                started = time.monotonic()
                worker = await self._worker()
                if isinstance(worker, Exception):
                    verdict = Verdict(False, reason=f"no worker: {worker}")  # not kept: there may be one soon
                else:
                    verdict = self._known[pair] = await self._asked(worker, pair)
                    self._known.move_to_end(pair)
                seconds = time.monotonic() - started
            if verdict.reason:
                log.warning(NOT_EQUAL, verdict.reason, *map(Private, pair))
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
            return replace(verdict, seconds=seconds)
        finally:
            del self._running[pair]

    async def _asked(self, worker: _Worker, pair: tuple[str, str]) -> Verdict:
        """A worker's verdict, or why there is none. The clock runs from when the worker has the question."""
        keep = False
        try:
            answer = await asyncio.wait_for(worker.compare(*pair), self._seconds)
            keep = not answer["retire"]
            if answer["reason"]:  # what can't be read is decided all the same
                log.warning(NOT_EQUAL, Private(answer["reason"]), *map(Private, pair))
            return Verdict(bool(answer["equal"]))
        except TimeoutError:
            return Verdict(False, reason=f"took over {self._seconds:g} s")
        except (EOFError, OSError, ValueError) as error:
            return Verdict(False, reason=f"the comparison ended its process: {error or type(error).__name__}")
        finally:
            if keep:
                self._idle.put_nowait(worker)
            else:
                self._chore(worker)

    async def _worker(self) -> "_Worker | Exception":
        """The next warm worker, or why none starts. An old fault is passed over when something newer is behind it."""
        if self._idle.empty() and self._fault is not None:
            return self._fault
        while True:
            worker = await self._idle.get()
            if isinstance(worker, _Worker) or self._idle.empty():
                return worker

    def begin(self) -> None:
        """Starts the workers and returns at once: their imports take seconds, which generating a text takes as well."""
        if not self._started and not self._closed:
            self._started = True
            for _ in range(self._processes):
                self._chore(None)

    def _chore(self, dead: _Worker | None) -> None:
        task = asyncio.create_task(self._replace(dead))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _replace(self, dead: _Worker | None) -> None:
        """Kills a worker and starts another in its place, again and again if it does not start."""
        if dead is not None:
            await dead.kill()
        failures = 0
        while not self._closed:
            try:
                self._idle.put_nowait(await _Worker.start())
                self._fault = None
                return
            except Exception as error:
                self._fault = error
                if self._idle.empty():
                    self._idle.put_nowait(error)
                log.error("no worker to compare answers: %s: %s", type(error).__name__, error)
                failures += 1
                await asyncio.sleep(START_RETRY.wait(failures))


def _obvious(a: str, b: str) -> bool | None:
    """What needs no algebra: texts too long for it, equal texts, and numbers, which most answers are."""
    if max(len(a), len(b)) > MAX_LENGTH:
        return a.split() == b.split()
    if key(a) == key(b):
        return True
    if max(len(a), len(b)) > MAX_NUMBER:
        return None
    left, right = read(a), read(b)
    return left == right if isinstance(left, Number) and isinstance(right, Number) else None


_judges: dict[asyncio.AbstractEventLoop, Judge] = {}


def judge() -> Judge:
    """The judge of the running event loop; `await judge().start()` at setup so that nobody waits for its imports."""
    for loop in [loop for loop in _judges if loop.is_closed()]:
        del _judges[loop]  # its pipes close with it, and its workers end when their input does
    loop = asyncio.get_running_loop()
    if loop not in _judges:
        _judges[loop] = Judge()
    return _judges[loop]


async def equivalent(a: str, b: str) -> bool:
    """Whether two answers are the same to a mathematician; see the module for what that means. Never raises."""
    return await judge().equivalent(a, b)
