"""The service's side of the zygote: starts it, asks it for confined processes, hears of their ends."""

import asyncio
import json
import logging
import os
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox import folders
from deepseek_math.programs.sandbox.confine import interpreter_paths, whom
from deepseek_math.programs.sandbox.limits import PACKET_BYTES, Limits
from deepseek_math.programs.sandbox.outcome import Exit
from deepseek_math.programs.sandbox.process import Process

log = logging.getLogger(__name__)

STARTING = 60.0  # seconds for a process, on a machine that is busy with something else
IMPORTING = 120.0  # seconds for the packages, which take 3 s of processor time
ENDING = 10.0  # seconds for the zygote, which may be in the middle of an import
# One thread, so that forks are safe; and strings that hash alike in every process, so that a seed fixes a set's order.
# One arena of malloc's, for a thread that an import starts and ends would leave a second one's address space behind.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "1"} | dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


class Launcher:
    """One zygote and the processes it has made. When it ends, so do they."""

    def __init__(self, limits: Limits, packages: Path) -> None:
        self.limits = limits
        self.packages = packages.resolve()  # the folder of those that programs import
        self.uid = whom([*interpreter_paths(), str(self.packages)])  # whom programs run as, None: as this user
        self.imported: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.alive = False
        self._zygote: asyncio.subprocess.Process | None = None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._folder = Path(tempfile.mkdtemp(prefix="tools-"))  # the zygote removes it in the end
        self._folder.chmod(0o711)  # each process opens its own folder in it, as whoever it is
        self._numbers = 0
        self._starting: dict[int, Process] = {}
        self._processes: dict[int, Process] = {}  # by pid

    async def start(self) -> None:
        """Starts the zygote: a fresh interpreter, for a fork of this one would take its memory and threads along."""
        configuration: dict[str, Any] = {"limits": asdict(self.limits), "uid": self.uid}
        configuration |= {"folder": str(self._folder), "packages": str(self.packages), "hidden": str(ROOT)}
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        with self._theirs as theirs:
            self._zygote = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-S", "-m", "deepseek_math.programs.sandbox.zygote"),
                *(str(theirs.fileno()), json.dumps(configuration)),
                stdin=DEVNULL,
                env=ENVIRONMENT | libraries | {"PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
                process_group=0,  # who shoots the service's group leaves it the time to clean up: it ends by itself
                cwd="/",
            )
        asyncio.get_running_loop().add_reader(self._control, self._hear)
        self.alive = True

    def start_imports(self) -> None:
        """The zygote hears nothing else until they are done; see `imported`."""
        self._send({"import": True})

    async def imported_in_time(self) -> None:
        """Waits until the packages are imported. Raises TimeoutError, ServiceError."""
        async with asyncio.timeout(IMPORTING):
            await asyncio.shield(self.imported)

    async def make(self) -> Process:
        """A process that is confined already. Raises as `Process.ready` does, and TimeoutError, ServiceError."""
        folder = folders.make(self._folder, self.uid)
        try:
            process = Process(folder, self._tell, self.limits)
        except OSError:
            folders.remove(folder)
            raise
        self._numbers = number = self._numbers + 1
        try:
            theirs = process.connect()
            try:
                self._send({"id": number, "folder": str(process.folder)}, theirs)
                self._starting[number] = process
            finally:
                for descriptor in theirs:  # or the process's end would not be seen
                    os.close(descriptor)
            async with asyncio.timeout(STARTING):
                await process.ready()
        except BaseException:
            process.kill()
            if number not in self._starting and not process.pid.done():  # nobody will start it
                process.exited.set_result(None)
            raise
        return process

    async def end(self) -> None:
        """Ends the zygote and every process."""
        for process in [*self._processes.values(), *self._starting.values()]:
            process.kill()
        self._hang_up()
        if self._zygote is not None:
            try:
                async with asyncio.timeout(ENDING):
                    await self._zygote.wait()
            except TimeoutError:
                self._zygote.kill()
                await self._zygote.wait()
        await asyncio.to_thread(folders.remove_all, self._folder)

    def _send(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """NOTE: a packet socket takes a packet whole or not at all, and its buffer holds hundreds of these."""
        if not self.alive:
            raise ServiceError("sandbox_failed", "The sandboxes are being started anew. Send the prediction again.")
        socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)

    def _tell(self, pid: int, number: int) -> None:
        try:
            if self.alive:
                self._send({"pid": pid, "signal": number})
        except OSError:  # it is gone, or deaf: then it and all that it started end now
            self._lose()

    def _hear(self) -> None:
        try:
            packet = self._control.recv(PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._lose()
            return
        message = json.loads(packet)
        if "imported" in message:
            self.imported.set_result(None)
        elif "id" in message:
            process, pid = self._starting.pop(message["id"]), message["pid"]
            if pid is None:
                process.pid.cancel()
                process.exited.set_result(None)
                return
            self._processes[pid] = process
            process.pid.set_result(pid)
        else:
            process = self._processes.pop(message["exit"])
            process.exited.set_result(Exit(message["status"], message["cpu_seconds"]))

    def _lose(self) -> None:
        log.error("the process that starts sandboxes has ended; the next program starts another")
        self._hang_up()
        asyncio.get_running_loop().run_in_executor(None, folders.remove_all, self._folder)

    def _hang_up(self) -> None:
        """The zygote ends by itself when its socket closes, and its children and their folders with it."""
        if self.alive:
            asyncio.get_running_loop().remove_reader(self._control)
        self.alive = False
        self._control.close()
        if not self.imported.done():
            self.imported.set_exception(ServiceError("sandbox_failed", "The sandboxes' imports failed: see the log."))
            self.imported.exception()  # heard, also where nobody waits
        for process in [*self._processes.values(), *self._starting.values()]:
            process.pid.cancel()
            if not process.exited.done():
                process.exited.set_result(None)
