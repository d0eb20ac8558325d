"""The sandbox when something fails around it: forks, descriptors, capabilities, deaths, cancels."""

import asyncio
import errno
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox import packages
from deepseek_math.programs.sandbox.launcher import Launcher
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.pool import Sandboxes, _tried
from deepseek_math.programs.sandbox.process import Process
from tests.programs.test_sandbox import another_zygote, gone

pytestmark = pytest.mark.asyncio


async def filled(sandboxes: Sandboxes) -> None:
    """Once the pool has its warm processes, or has given up."""
    assert sandboxes._filling is not None
    await sandboxes._filling


async def test_a_process_that_died_while_it_waited_is_not_handed_out() -> None:
    """First one that a prediction has used and goes on with, then all that stand warm."""

    async def kill(process: Process) -> None:
        pid = await process.pid
        psutil.Process(pid).kill()
        await gone(pid)
        async with asyncio.timeout(10):
            while process.alive:  # noqa: ASYNC110  # we hear of it by two ways
                await asyncio.sleep(0.01)

    sandboxes = Sandboxes(2)
    try:
        async with sandboxes.open(seed=0) as sandbox:
            assert (await sandbox.run("print(1)")).printed == "1\n"
            assert sandbox.process is not None
            await kill(sandbox.process)
            outcome = await sandbox.run("print(2)")
            assert (outcome.printed, outcome.error) == ("2\n", None)
        await filled(sandboxes)
        assert len(sandboxes._warm) == 2
        for process in list(sandboxes._warm):
            await kill(process)
        async with sandboxes.open(seed=0) as sandbox:
            assert (await sandbox.run("print(3)")).printed == "3\n"
    finally:
        await sandboxes.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_kill_never_raises_and_a_zygote_that_hears_nothing_is_given_up(number: signal.Signals) -> None:
    """It is gone and nobody has told us yet, or it is stopped and its line is full."""
    sandboxes = Sandboxes(1)
    try:
        process = await sandboxes.take()
        pid = await process.pid
        zygote = psutil.Process(pid).parent()
        assert zygote is not None
        zygote.send_signal(number)
        with suppress(psutil.NoSuchProcess):  # it is gone as soon as it is waited for
            while zygote.status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)  # noqa: ASYNC251  # the loop would hear of it
        for _ in range(10_000 if number == signal.SIGSTOP else 0):
            process.signal(signal.SIGCONT)
        process.kill()
        if number == signal.SIGSTOP:
            zygote.resume()
        await gone(pid)
        async with sandboxes.open(seed=0) as sandbox:
            assert (await sandbox.run("print(1)")).printed == "1\n"
    finally:
        await sandboxes.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def settled(most: int) -> int:
    """Descriptors once there are no more than `most`, or after a while: a process keeps its folder open to its end."""
    for _ in range(3000):
        if descriptors() <= most:
            break
        await asyncio.sleep(0.01)
    return descriptors()


async def test_a_cancel_in_the_making_of_a_process_leaves_no_descriptor_open() -> None:
    sandboxes = Sandboxes(1)
    try:
        await sandboxes.require()
        await filled(sandboxes)
        assert sandboxes._launcher is not None
        before = descriptors()
        for number in range(50):  # each at another moment
            making = asyncio.create_task(sandboxes._launcher.make())
            for _ in range(number % 10):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001 * (number // 10) * (number % 3))
            making.cancel()
            for made in await asyncio.gather(making, return_exceptions=True):
                if isinstance(made, Process):
                    made.kill()
        assert await settled(before) <= before
    finally:
        await sandboxes.close()


async def test_a_cancel_in_the_middle_of_a_start_leaves_no_descriptor_open() -> None:
    await (await _tried(Limits(), packages.default_folder())).end()  # what is opened once is open
    before = descriptors()
    children = set(psutil.Process().children(recursive=True))
    for number in range(50):
        trying = asyncio.create_task(_tried(Limits(), packages.default_folder()))
        await asyncio.sleep(0.004 * number)
        trying.cancel()
        for tried in await asyncio.gather(trying, return_exceptions=True):
            if isinstance(tried, Launcher):
                await tried.end()
    assert await settled(before) <= before
    assert set(psutil.Process().children(recursive=True)) <= children


async def test_who_stops_waiting_for_a_start_stops_it_for_nobody_else() -> None:
    sandboxes = Sandboxes(1)
    try:
        first, second = (asyncio.create_task(sandboxes.require()) for _ in range(2))
        await asyncio.sleep(0.1)
        starting = sandboxes._starting
        assert starting is not None
        first.cancel()
        await second
        assert sandboxes._starting is starting
    finally:
        await sandboxes.close()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_a_fork_that_fails_is_told_and_the_next_program_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = tmp_path / "switch"  # while it is there, forks fail
    fails = f"if os.path.exists({str(switch)!r}): raise OSError({number}, 'no fork')\n            pid = os.fork()"
    another_zygote(tmp_path, monkeypatch, "zygote.py", "pid = os.fork()", fails)
    switch.touch()
    sandboxes = Sandboxes(1)
    try:
        for _ in range(2):
            with pytest.raises(ServiceError, match=r"sandbox_failed: .* no fork"):
                await sandboxes.require()
        assert "mode tool is refused" not in sandboxes.offers
        switch.unlink()
        await sandboxes.require()
        alive = sandboxes._launcher
        async with sandboxes.open(seed=0) as one, sandboxes.open(seed=0) as other:
            assert (await one.run("print(1)")).printed == "1\n"
            await filled(sandboxes)
            switch.touch()
            assert (await other.run("print(2)")).printed == "2\n"  # by the warm one
            await filled(sandboxes)
            async with sandboxes.open(seed=0) as third:
                with pytest.raises(ServiceError, match=r"sandbox_failed: .* no fork"):
                    await third.run("print(3)")
                switch.unlink()
                assert (await third.run("print(3)")).printed == "3\n"
            assert (await one.run("print(4)")).printed == "4\n"
        assert alive is not None
        assert sandboxes._launcher is alive  # nothing was started anew
        assert not alive._starting
    finally:
        await sandboxes.close()


async def test_a_start_that_had_too_few_descriptors_is_tried_again() -> None:
    sandboxes = Sandboxes(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(6):  # each time there is room for one more
            before = open_now()
            with pytest.raises(ServiceError, match="sandbox_failed"):
                await sandboxes.require()
            async with asyncio.timeout(10):
                while open_now() != before:  # noqa: ASYNC110  # they have no event
                    await asyncio.sleep(0.01)
            os.close(taken.pop())
        while taken:
            os.close(taken.pop())
        await sandboxes.require()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await sandboxes.close()


def open_now() -> int:
    """How many are open, without opening one."""
    found = 0
    for number in range(256):
        with suppress(OSError):
            os.fstat(number)
            found += 1
    return found


WITHOUT_CAPABILITIES = r"""
import asyncio, ctypes
from deepseek_math.programs.sandbox.confine import _drop_capabilities, whom
from deepseek_math.programs.sandbox.pool import Sandboxes
for capability in range(64):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: nor does a program that it starts get it
before = whom(["/usr"])
_drop_capabilities()
print("becomes", before, "or", whom(["/usr"]))
async def main():
    sandboxes = Sandboxes(1)
    try:
        await sandboxes.require()
        print(sandboxes.offers)
        async with sandboxes.open(0) as sandbox:
            print((await sandbox.run("import os; print(os.geteuid(), 6 * 7)")).printed)
            outcome = await sandbox.run("n = 0\nwhile True: open(str(n := n + 1), 'wb').write(bytes(2**21))")
            print(outcome.error)
    finally:
        await sandboxes.close()
asyncio.run(main())
"""


AS_IN_A_CONTAINER = """
import ctypes, os, signal, struct
from deepseek_math.programs.sandbox.confine import CAPABILITY_VERSION_3, NOBODY, capabilities
from deepseek_math.programs.sandbox.limits import DEMOTE
from deepseek_math.programs.sandbox.zygote import Zygote
pid = os.fork()
if not pid:
    os.setresuid(NOBODY, NOBODY, NOBODY)
    signal.pause()
left = capabilities() & ~(1 << 23)  # CAP_SYS_NICE
sets = struct.pack("=6I", left & 0xFFFFFFFF, left & 0xFFFFFFFF, 0, left >> 32, left >> 32, 0)
assert ctypes.CDLL(None).capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), sets) == 0
while os.stat(f"/proc/{pid}").st_uid == 0:
    pass
zygote = Zygote.__new__(Zygote)
zygote._uid = NOBODY
try:
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    print("root needs nobody's name")
except PermissionError:
    zygote._signal(pid, DEMOTE)
    print(os.sched_getscheduler(pid) == os.SCHED_IDLE, os.geteuid(), hex(capabilities() ^ left))
os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user's processes")
async def test_root_without_the_right_to_schedule_others_demotes_a_program_as_the_program_s_own_user() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AS_IN_A_CONTAINER, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert (await process.communicate())[0].decode() == "True 0 0x0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to lose")
async def test_root_without_any_capability_isolates_programs_as_root_without_any_capability() -> None:
    """As in a container run with --cap-drop ALL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT_CAPABILITIES, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    said = (await process.communicate())[0].decode()
    assert "becomes 65534 or None" in said
    assert "as root without capabilities" in said
    assert "0 42" in said
    assert "files took more than 32 MiB" in said
