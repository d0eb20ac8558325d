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
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from deepseek_math import container
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.programs.sandbox import landlock, packages, probe
from deepseek_math.programs.sandbox.launcher import IMPORTING, STARTING, Launcher
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.outcome import Outcome, used_up
from deepseek_math.programs.sandbox.process import TICK, NotIsolatedError, Process

log = logging.getLogger(__name__)

PROBING = 20.0  # seconds for the probe, and for the kill that ends it
LOST = "The variables of earlier programs are gone: their process ended, by itself or because memory was short."


class Sandboxes:
    """At most `processes` programs run at once, predictions in turn; as many confined processes wait, imports done.

    A completion that waits for its turn keeps its place in the engine. With S places there, that is for at most
    S x wall limit / `processes`: each of the others runs one program before it. Samples of one vote may have to wait
    for each other one at a time while other predictions come: S x wall limit. On a machine that is busy with other
    things the wall limit stretches (see `Limits.patience_seconds`).
    """

    def __init__(
        self, processes: int | None = None, limits: Limits | None = None, packages_folder: Path | None = None
    ) -> None:
        """`processes` None takes as many as this container may have. `packages_folder`: see packages.py."""
        processes = processes or container.programs_at_once(container.memory_limit())
        self.limits = limits or Limits()
        self._packages_folder = packages_folder or packages.default_folder()
        self.gate = Gate(processes, processes)
        self.offers = ""  # what the kernel offers, for people
        self._refusal: ServiceError | None = None  # for good
        self._launcher: Launcher | None = None
        self._warm: deque[Process] = deque()
        self._starting: asyncio.Task[Launcher] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._open: set[Sandbox] = set()
        self._looked = 0.0  # at what the processes hold

    async def start(self) -> None:
        """Tries the isolation, and starts the imports behind it. Never raises: `require` says what is missing."""
        with suppress(ServiceError):
            await self._ready()

    async def require(self) -> None:
        """Raises ServiceError: `sandbox_unavailable` where isolation can't be had, `package_missing`."""
        launcher = await self._ready()
        try:
            await launcher.imported_in_time()
        except TimeoutError as error:
            raise _failed(TimeoutError(f"packages were not imported within {IMPORTING:g} s")) from error

    @asynccontextmanager
    async def open(self, seed: int, owner: object = None) -> AsyncIterator["Sandbox"]:
        """A sandbox for one prediction, whose process starts with its first program and ends with the block.

        `owner` is the prediction it is for (see `Gate.enter`).
        """
        sandbox = Sandbox(self, seed, owner)
        self._open.add(sandbox)
        try:
            yield sandbox
        finally:
            self._open.discard(sandbox)
            sandbox.close()

    def make_room(self) -> None:
        """Ends the largest of the processes that are stopped, until all together hold no more than those at work may.

        Looks at most once in TICK.
        """
        now = time.monotonic()
        if now - self._looked < TICK:
            return
        self._looked = now
        processes = [each.process for each in self._open if each.process is not None]
        held = {process: process.memory_held for process in processes if process.alive}
        total = sum(held.values())
        for process in sorted((each for each in held if each.stopped), key=held.__getitem__, reverse=True):
            if total <= self.limits.memory_bytes * self.gate.slots:
                return
            log.warning("%d predictions hold %d MiB: the variables of one are gone", len(held), total >> 20)
            process.kill()
            total -= held[process]

    async def take(self) -> Process:
        """A confined process that no program has touched. Raises ServiceError."""
        launcher = await self._ready()
        try:
            await launcher.imported_in_time()
            while self._warm:
                process = self._warm.popleft()
                if process.alive:
                    break
                process.kill()  # its folder is left
            else:
                process = await launcher.make()
        except OSError as error:
            raise _failed(error) from error
        self._fill(launcher)
        return process

    async def close(self) -> None:
        """Ends every sandbox, busy or not."""
        tasks = [each for each in (self._starting, self._filling) if each is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        launcher, self._launcher = self._launcher, None
        self._warm.clear()
        if launcher is not None:
            await launcher.end()

    async def _ready(self) -> Launcher:
        if self._refusal is not None:
            raise self._refusal
        if self._launcher is not None and self._launcher.alive:
            return self._launcher
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)  # others wait for it, too

    async def _start(self) -> Launcher:
        self._warm.clear()  # they died with their zygote
        try:
            self._require_packages()
        except OSError as error:  # there may be no descriptor left to look
            raise _failed(error) from error
        try:
            version = _landlock()
            launcher = await _tried(self.limits, self._packages_folder)
        except NotIsolatedError as error:
            self.offers = f"none, so mode tool is refused: {error}"
            self._refusal = ServiceError(
                "sandbox_unavailable",
                f"Programs can't be isolated on this machine ({error}), so mode tool is refused. It needs Linux 5.13 "
                "or later on x86-64 or ARM64, with Landlock and seccomp.",
            )
            log.warning("%s", self._refusal)
            raise self._refusal from error
        except Exception as error:
            self.offers = f"not tried yet, for the attempt failed ({type(error).__name__}: {error})"
            log.warning("sandboxes could not be started; the next program tries again", exc_info=error)
            raise _failed(error) from error
        self.offers = f"Landlock {version} and seccomp; programs run {_user(launcher.uid)}, with {self._packages()}"
        self._launcher = launcher
        launcher.start_imports()
        self._fill(launcher)
        return launcher

    def _require_packages(self) -> None:
        """Raises ServiceError("package_missing")."""
        if sys.version_info[:2] not in packages.PYTHONS:
            refusal = (
                f"Mode tool needs Python {' or '.join(f'{major}.{minor}' for major, minor in packages.PYTHONS)}: the "
                f"packages of its programs install on no other. This is Python {platform.python_version()}."
            )
        elif missing := packages.missing(self._packages_folder):
            refusal = (
                f"Mode tool needs {', '.join(missing)} in {self._packages_folder}. Run make setup-tool, or set "
                "PROGRAM_PACKAGES to the folder that has them."
            )
        else:
            return
        self.offers = f"none, so mode tool is refused: {refusal}"
        raise ServiceError("package_missing", refusal)

    def _packages(self) -> str:
        versions = {"Python": platform.python_version()} | packages.versions(self._packages_folder)
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    def _fill(self, launcher: Launcher) -> None:
        """Makes warm processes until there are enough, behind whatever goes on."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._refill(launcher))

    async def _refill(self, launcher: Launcher) -> None:
        try:
            await launcher.imported_in_time()
            while len(self._warm) < self.gate.slots:
                self._warm.append(await launcher.make())
        except (OSError, ServiceError) as error:
            log.error("no sandbox could be made ahead: %s: %s", type(error).__name__, error)


def _landlock() -> int:
    """Landlock's version. Raises NotIsolatedError."""
    if not sys.platform.startswith("linux"):
        raise NotIsolatedError(f"{platform.system()} has no Landlock and no seccomp")
    try:
        return landlock.version()
    except OSError as error:
        raise NotIsolatedError(f"{error}") from error


async def _tried(limits: Limits, packages_folder: Path) -> Launcher:
    """A launcher whose processes the probe does not get out of. Raises OSError, NotIsolatedError, ServiceError."""
    launcher = Launcher(limits, packages_folder)
    try:
        await launcher.start()
        async with asyncio.timeout(STARTING + PROBING):
            process = await launcher.make()
            try:
                outcome = await process.run(probe.program(os.getpid()))
            finally:
                process.kill()
                probe.remove_escaped()
            if outcome.error is not None:
                raise (OSError if outcome.killed else NotIsolatedError)(f"the probe failed: {outcome.error}")
            if escaped := json.loads(outcome.printed):
                raise NotIsolatedError(f"a program could {', '.join(escaped)}")
            await asyncio.shield(process.exited)
    except BaseException:
        await launcher.end()
        raise
    return launcher


def _failed(error: Exception) -> ServiceError:
    return ServiceError("sandbox_failed", f"No sandbox could be started ({error}). Send the prediction again.")


def _user(uid: int | None) -> str:
    if uid is not None:
        return f"as user {uid}"
    if os.geteuid():
        return "as this user"
    return (
        "as root without capabilities (this process can't switch to another user, or only root can read Python's files)"
    )


class Sandbox:
    """The programs of one prediction: they share their variables, their folder and their limits."""

    def __init__(self, sandboxes: Sandboxes, seed: int, owner: object) -> None:
        self.process: Process | None = None
        self._sandboxes = sandboxes
        self._seed = seed
        self._owner = owner
        self._cpu_seconds = 0.0  # of processes that are gone

    async def run(self, code: str) -> Outcome:
        """Runs a program to its end or to a limit. Whoever stops waiting ends it at once. Raises ServiceError.

        After a program that had to be ended the next one finds a new process, without the variables.
        """
        async with self._sandboxes.gate.enter(1, self._owner):
            lost = self.process is not None and not self.process.alive
            if lost:
                await self.begin_anew()
            limit = self._sandboxes.limits.cpu_seconds
            if self._cpu_seconds >= limit:
                return Outcome("", used_up(limit), 0.0, killed=True)
            outcome = await self._run(code)
            if lost and outcome.error is not None:
                return replace(outcome, error=f"{LOST}\n{outcome.error}")
            return outcome

    async def _run(self, code: str) -> Outcome:
        seed = None
        if self.process is None:
            self.process, seed = await self._sandboxes.take(), self._seed
        try:
            outcome = await self.process.run(code, seed, self._cpu_seconds, self._sandboxes.make_room)
        except BaseException:
            self.close()
            raise
        if outcome.killed:
            await self.begin_anew()
        self._sandboxes.make_room()
        return outcome

    async def begin_anew(self) -> None:
        """Ends the process, so that the next program finds a new one; what it has used still counts."""
        process = self.process
        self.close()
        if process is not None:
            self._cpu_seconds += await process.cpu_seconds()

    def close(self) -> None:
        """Ends the process and all that it left."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
