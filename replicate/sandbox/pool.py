"""The warm pool: sandboxes that wait for a program, and the line of those who want to run one."""

import asyncio
import json
import logging
import os
import platform
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from replicate.engines.gate import Gate
from replicate.errors import ServiceError
from replicate.sandbox import landlock, probe
from replicate.sandbox.limits import Limits
from replicate.sandbox.nursery import STARTING, Nursery
from replicate.sandbox.process import Outcome, Process

log = logging.getLogger(__name__)

PROBING = 20.0  # seconds for the probe, and for the kill that ends it


class Sandboxes:
    """At most `processes` programs run at once, predictions in turn; as many confined processes wait, imports done."""

    def __init__(self, processes: int | None = None, limits: Limits | None = None) -> None:
        """`processes` None takes as many as there are cores, and at least two."""
        processes = processes or max(2, os.cpu_count() or 1)
        self.limits = limits or Limits()
        self.gate = Gate(processes, processes)
        self.offers = ""  # what the kernel offers, for people
        self._fault: ServiceError | None = None
        self._nursery: Nursery | None = None
        self._warm: deque[Process] = deque()
        self._starting = asyncio.Lock()
        self._chores: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Tries the isolation, and starts the imports behind it. Never raises: `require` says what is missing."""
        async with self._starting:
            if self._fault is None and (self._nursery is None or not self._nursery.alive):
                await self._start()

    async def require(self) -> None:
        """Raises ServiceError: `sandbox_unavailable` where isolation can't be had, `package_missing`."""
        nursery = await self._ready()
        try:
            missing = await nursery.imported_in_time()
        except TimeoutError as error:
            raise ServiceError(
                "sandbox_failed", f"The packages for programs were not imported within {STARTING:g} s. Try again."
            ) from error
        if missing is not None:
            raise ServiceError(
                "package_missing",
                f"Mode tool needs the package {missing}, which is not installed. Run make setup-tool.",
            )

    @asynccontextmanager
    async def open(self, seed: int, owner: object = None) -> AsyncIterator["Sandbox"]:
        """A sandbox for one prediction, whose process starts with its first program and ends with the block.

        `owner` is the prediction it is for (see `Gate.enter`).
        """
        sandbox = Sandbox(self, seed, owner)
        try:
            yield sandbox
        finally:
            sandbox.close()

    async def take(self) -> Process:
        """A confined process that no program has touched. Raises ServiceError."""
        nursery = await self._ready()
        try:
            await nursery.imported_in_time()
            process = self._warm.popleft() if self._warm else await nursery.make()
        except (OSError, TimeoutError) as error:
            raise ServiceError("sandbox_failed", "No sandbox could be started. Send the prediction again.") from error
        self._chore(nursery)
        return process

    async def close(self) -> None:
        """Ends every sandbox, busy or not."""
        for chore in (chores := list(self._chores)):
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        nursery, self._nursery = self._nursery, None
        self._warm.clear()
        if nursery is not None:
            await nursery.end()

    async def _ready(self) -> Nursery:
        await self.start()
        if self._fault is not None:
            raise self._fault
        assert self._nursery is not None
        return self._nursery

    async def _start(self) -> None:
        self._warm.clear()  # they died with their zygote
        self._nursery = None
        nursery = None
        try:
            if not sys.platform.startswith("linux"):
                raise OSError(f"{platform.system()} has no Landlock and no seccomp")
            version = landlock.version()
            nursery = Nursery(self.limits)
            await nursery.start()
            await _try(nursery)
        except Exception as error:
            reason = f"{error}" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._fault = ServiceError(
                "sandbox_unavailable",
                f"Programs can't be isolated on this machine ({reason}), so mode tool is refused. It needs Linux 5.13 "
                "or later on x86-64 or ARM64, with Landlock and seccomp.",
            )
            self.offers = f"none, so mode tool is refused: {reason}"
            log.warning("%s", self._fault)
            if nursery is not None:
                await nursery.end()
            return
        self.offers = f"Landlock {version} and seccomp; programs run {_user(nursery.uid)}"
        self._nursery = nursery
        nursery.start_imports()
        for _ in range(self.gate.slots):
            self._chore(nursery)

    def _chore(self, nursery: Nursery) -> None:
        """One more warm process, behind whatever goes on."""
        task = asyncio.create_task(self._refill(nursery))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _refill(self, nursery: Nursery) -> None:
        try:
            await nursery.imported_in_time()
            if len(self._warm) < self.gate.slots and nursery is self._nursery:
                self._warm.append(await nursery.make())
        except (OSError, TimeoutError, ServiceError) as error:
            log.error("no sandbox could be made ahead: %s: %s", type(error).__name__, error)


async def _try(nursery: Nursery) -> None:
    """Runs the probe in a sandbox of its own. Raises OSError if it gets out, fails or can't be killed."""
    async with asyncio.timeout(STARTING + PROBING):
        process = await nursery.make()
        try:
            printed, error, _ = await process.run(probe.program(os.getpid()), None)
        finally:
            process.kill()
        if error is not None:
            raise OSError(f"the probe failed: {error}")
        if escaped := json.loads(printed):
            raise OSError(f"a program could {', '.join(escaped)}")
        await process.exited


def _user(uid: int | None) -> str:
    if uid is not None:
        return f"as user {uid}"
    return "as this user" if os.geteuid() else "as root without capabilities: Python's files are for root alone"


class Sandbox:
    """The programs of one prediction: they share their variables, their folder and their limits."""

    def __init__(self, sandboxes: Sandboxes, seed: int, owner: object) -> None:
        self._sandboxes = sandboxes
        self._seed = seed
        self._owner = owner
        self._process: Process | None = None

    async def run(self, code: str) -> Outcome:
        """Runs a program to its end or to a limit. Whoever stops waiting ends it at once. Raises ServiceError.

        After a program that had to be ended the next one finds a new process, without the variables.
        """
        async with self._sandboxes.gate.enter(1, self._owner):
            seed = None
            if self._process is None:
                self._process, seed = await self._sandboxes.take(), self._seed
            started = time.perf_counter()
            killed = True
            try:
                printed, error, killed = await self._process.run(code, seed)
            finally:
                if killed:
                    self.close()
            return Outcome(printed, error, time.perf_counter() - started, killed)

    def close(self) -> None:
        """Ends the process and all that it left."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
