"""A fresh interpreter that imports the packages once and forks a confined process for each prediction.

It runs no program itself and holds no data of the service. One thread, so that a fork is safe. It talks over one socket
of packets: JSON, with descriptors where a sandbox is asked for. When the socket closes it ends, and its children
with it (PR_SET_PDEATHSIG). `python -m deepseek_math.programs.sandbox.zygote DESCRIPTOR CONFIGURATION` starts it.
"""

import fcntl
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import site
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from deepseek_math.programs.sandbox import folders, program
from deepseek_math.programs.sandbox.confine import confine, library_entries, library_folders
from deepseek_math.programs.sandbox.limits import DEMOTE, PACKET_BYTES, Limits

CLEAR = 16  # a descriptor beyond those that a sandbox gets
# Imported before any program: what programs ask for, and modules whose shared libraries lie where none may look.
IMPORTED = (
    *("sympy", "sympy.abc", "sympy.physics.units", "numpy"),
    *("scipy.optimize", "scipy.integrate", "scipy.linalg", "scipy.special", "scipy.stats", "scipy.spatial"),
    *("pandas", "networkx", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin"),
    *("ctypes", "bz2", "lzma", "zlib", "decimal", "fractions", "statistics", "hashlib", "datetime", "csv", "calendar"),
)


class Zygote:
    """Forks, signals and reaps sandboxes as it is told."""

    def __init__(self, control: socket.socket, configuration: dict[str, Any]) -> None:
        self._control = control
        self._limits = Limits(**configuration["limits"])
        self._uid: int | None = configuration["uid"]
        self._packages: str = configuration["packages"]
        self._children: dict[int, int] = {}  # pid by pidfd
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._readable = [*library_entries(), Path(self._packages)]

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._reap(key.fd)
                    continue
                try:
                    packet, descriptors, *_ = socket.recv_fds(self._control, PACKET_BYTES, 3)
                except ConnectionResetError:  # the service went without hearing all
                    return
                if not packet:
                    return
                message = json.loads(packet)
                if "import" in message:
                    self._import()
                    self._say({"imported": True})
                elif "folder" in message:
                    self._fork(message["id"], Path(message["folder"]), descriptors)
                elif (pid := message["pid"]) in self._children.values():  # not reaped, so the number is still its own
                    self._signal(pid, message["signal"])

    def end(self) -> None:
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the service is gone, as the next packet will say
            self._control.send(json.dumps(message).encode())

    def _import(self) -> None:
        for name in IMPORTED:
            importlib.import_module(name)
        self._keep_fonts_that_programs_may_read()
        _keep_qhull_s_messages_in_one_file()
        gc.collect()
        gc.freeze()  # what is never collected is never copied after a fork

    def _keep_fonts_that_programs_may_read(self) -> None:
        """matplotlib has found the machine's fonts; its own are enough."""
        fonts = sys.modules["matplotlib.font_manager"].fontManager
        fonts.ttflist = [font for font in fonts.ttflist if font.fname.startswith(self._packages)]
        fonts.afmlist = [font for font in fonts.afmlist if font.fname.startswith(self._packages)]

    def _fork(self, number: int, folder: Path, descriptors: list[int]) -> None:
        """A fault is told where the sandbox itself would tell it."""
        pid: int | None = None
        try:
            if threads := len(os.listdir("/proc/self/task")) - 1:
                raise OSError(f"an import started {threads} threads: a fork would not be safe")
            pid = os.fork()
            if not pid:
                self._become_sandbox(folder, descriptors)
            pidfd = os.pidfd_open(pid)
            self._children[pidfd] = pid
            self._selector.register(pidfd, selectors.EVENT_READ)
        except OSError as error:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for results in descriptors[1:2]:
                _tell_fault(results, error)
            pid = None
        for descriptor in descriptors:
            os.close(descriptor)
        self._say({"id": number, "pid": pid})

    def _signal(self, pid: int, number: int) -> None:
        with suppress(PermissionError):  # of a kill: then the probe sees that it lives on
            if number != DEMOTE:
                os.kill(pid, number)
                return
            # In a container root lacks CAP_SYS_NICE, but who a process runs as may always slow it down.
            os.seteuid(os.getuid() if self._uid is None else self._uid)
            try:
                os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            finally:
                os.seteuid(os.getuid())

    def _reap(self, pidfd: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        pid = self._children.pop(pidfd)
        _, status, used = os.wait4(pid, 0)
        cpu_seconds = used.ru_utime + used.ru_stime
        self._say({"exit": pid, "status": os.waitstatus_to_exitcode(status), "cpu_seconds": cpu_seconds})

    def _become_sandbox(self, folder: Path, descriptors: list[int]) -> NoReturn:
        """Turns a fork of the zygote into a sandbox and serves programs; never returns."""
        status = 1
        try:
            nowhere = os.open("/dev/null", os.O_RDWR)
            clear = [fcntl.fcntl(each, fcntl.F_DUPFD, CLEAR) for each in (nowhere, *descriptors)]
            for source, targets in zip(clear, ((0, 2), (program.COMMANDS,), (program.RESULTS,), (1,)), strict=True):
                for target in targets:
                    os.dup2(source, target)
            os.closerange(program.RESULTS + 1, os.sysconf("SC_OPEN_MAX"))
            os.environ.clear()
            sys.argv = [""]
            for name in [each for each in sys.modules if each.partition(".")[0] == __package__.partition(".")[0]]:
                del sys.modules[name]  # programs find no module of the service
            try:
                confine(folder, self._readable, library_folders(), self._limits, self._uid)
            except OSError as error:
                _tell_fault(program.RESULTS, error)
            else:
                program.serve(self._packages)
                status = 0
        finally:
            os._exit(status)


def _keep_qhull_s_messages_in_one_file() -> None:
    """For ConvexHull, Delaunay and Voronoi scipy makes a temporary file and removes it, where programs can't do either:
    they crashed. It stays in the program's folder, and the next one writes over it."""

    def mkstemp(prefix: bytes) -> tuple[int, bytes]:
        name = prefix + b"messages"
        return os.open(name, os.O_RDWR | os.O_CREAT, 0o600), name

    stream = sys.modules["scipy._lib.messagestream"].__dict__
    stream["tempfile"] = SimpleNamespace(mkstemp=mkstemp)
    stream["os"] = SimpleNamespace(close=os.close, remove=lambda name: None, unlink=lambda name: None)


def _tell_fault(descriptor: int, error: OSError) -> None:
    os.write(descriptor, json.dumps({"fault": str(error), "errno": error.errno}).encode() + b"\n")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    configuration = json.loads(sys.argv[2])
    sys.path[:] = [configuration["packages"], *(path for path in sys.path if path != configuration["hidden"])]
    site.setquit()  # `exit` and `quit`, which programs call; Python starts without site, whose packages are not theirs
    os.environ |= {"MPLBACKEND": "Agg", "MPLCONFIGDIR": configuration["folder"]}  # no display, and no home
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns that looking for fonts takes long
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    zygote = Zygote(control, configuration)
    try:
        zygote.serve()
    finally:
        zygote.end()
        folders.remove_all(Path(configuration["folder"]))


if __name__ == "__main__":
    main()
