"""Bounds that a program reaches by several processes, or in time: memory, processor time, output, signals, files."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.pipes import PAUSE, PipeReader
from deepseek_math.programs.sandbox.pool import LOST, Sandbox, Sandboxes

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEBIBYTE = 1 << 20


def resident(sandbox: Sandbox) -> int:
    """Bytes of pages that the sandbox's process has and shares with no file, as the kernel counts them for all."""
    if sandbox.process is None or not sandbox.process.alive:
        return 0
    status = Path(f"/proc/{sandbox.process.pid.result()}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return sum(int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem", "VmSwap"))


async def test_predictions_between_two_programs_hold_no_more_than_the_pool_s_programs_may() -> None:
    pool = Sandboxes(2, Limits(memory_bytes=640 * MEBIBYTE))
    keep = "kept = bytearray(300 * 2**20); print(len(kept) >> 20)"
    try:
        await pool.require()
        async with AsyncExitStack() as stack:
            held = [await stack.enter_async_context(pool.open(seed=0)) for _ in range(6)]
            at_start = []
            for sandbox in held:
                await sandbox.run("pass")
                at_start.append(resident(sandbox))
                assert (await sandbox.run(keep)).printed == "300\n"
                await asyncio.sleep(0.2)
            kept = [resident(sandbox) for sandbox in held]
            own = sum(max(0, now - before) for now, before in zip(kept, at_start, strict=True))
            assert own <= 2 * 640 * MEBIBYTE
            assert sum(size > 0 for size in kept) >= 3  # as many as fit are left alone
            outcomes = [await sandbox.run("print(len(kept) >> 20)") for sandbox in held]
    finally:
        await pool.close()
    lost = [outcome for outcome in outcomes if outcome.error is not None]
    assert lost
    assert all(outcome.error == f"{LOST}\nNameError: name 'kept' is not defined" for outcome in lost)
    assert all(outcome.printed == "300\n" for outcome in outcomes if outcome.error is None)


# name: a program that tries to hold more than 1 GiB; each stops by itself where it gets no more
HOARDS = {
    "shared memory that is shrunk": (
        "import mmap\nkept = []\ntry:\n    for _ in range(40):\n        each = mmap.mmap(-1, 2**26)\n"
        "        for page in range(0, 2**26, 4096): each[page] = 1\n"
        "        each.resize(4096)\n        kept.append(each)\n"
        "except (OSError, MemoryError, SystemError): pass"
    ),
    "shared memory that is covered": (
        "import ctypes, mmap\nlibc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p\n"
        "place = libc.mmap(None, 2**26, 3, 0x21, -1, 0)\n"
        "for _ in range(40):\n    if place in (None, 2**64 - 1): break\n"
        "    ctypes.memset(place, 1, 2**26)\n"
        "    libc.mmap(ctypes.c_void_p(place), 2**26 - 4096, 3, 0x32, -1, 0)\n"
        "    place = libc.mmap(None, 2**26, 3, 0x21, -1, 0)"
    ),
    "private memory": "kept = []\ntry:\n    while True: kept.append(bytearray(b'x' * 2**22))\nexcept MemoryError: pass",
    "private memory of a file": (
        "import mmap\nf = open('own', 'w+b'); f.truncate(2**22)\nkept = []\ntry:\n    while True:\n"
        "        kept.append(mmap.mmap(f.fileno(), 2**22, mmap.MAP_PRIVATE)); kept[-1][:] = b'x' * 2**22\n"
        "except (OSError, MemoryError): pass"
    ),
    "the heap of C": (
        "import ctypes\nlibc = ctypes.CDLL(None); libc.sbrk.restype = ctypes.c_void_p\n"
        "while (place := libc.sbrk(2**22)) not in (None, 2**64 - 1): ctypes.memset(place, 1, 2**22)"
    ),
    "the stack": "import sys; sys.setrecursionlimit(10**6)\ndef f(): return f()\ntry: f()\nexcept RecursionError: pass",
}


@pytest.mark.parametrize("name", HOARDS)
async def test_no_program_holds_more_than_its_bound(sandboxes: Sandboxes, name: str) -> None:
    before = psutil.virtual_memory().available
    async with asyncio.timeout(120), sandboxes.open(seed=0) as sandbox:
        await sandbox.run(HOARDS[name])
        assert resident(sandbox) <= sandboxes.limits.memory_bytes
        if name.startswith("shared"):
            assert resident(sandbox) < 400 * MEBIBYTE  # it got none
            assert before - psutil.virtual_memory().available < 1536 * MEBIBYTE  # what it holds is in no page table


async def test_what_a_process_holds_is_measured_from_outside(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        await sandbox.run("pass")
        assert sandbox.process is not None
        before = sandbox.process.memory_held
        await sandbox.run("kept = bytearray(b'x' * (200 * 2**20))")
        grown = sandbox.process.memory_held - before
        shared = resident(sandbox) - 200 * MEBIBYTE  # with the zygote; they may have been written to since
        assert 190 * MEBIBYTE < grown < 210 * MEBIBYTE + shared
        await sandbox.run("del kept")
        assert sandbox.process.memory_held - before < 10 * MEBIBYTE + shared


async def test_pages_shared_with_the_zygote_count_once_they_are_written_to(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        await sandbox.run("import gc, sys\nobjects = gc.get_objects()\ngc.unfreeze()\nobjects += gc.get_objects()")
        assert sandbox.process is not None
        before = sandbox.process.memory_held
        await sandbox.run("kept = [(o, o) for o in objects]")  # each gets another count of references
        assert sandbox.process.memory_held - before > 5 * MEBIBYTE


MAP = (
    "import ctypes, os\nlibc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p\n"
    "def map(size, place=None, flags=0x22):\n"
    "    return libc.mmap(ctypes.c_void_p(place), ctypes.c_size_t(size), 3, flags, -1, ctypes.c_long(0))\n"
)


async def test_page_tables_count_as_memory(sandboxes: Sandboxes) -> None:
    """Each page has a gigabyte of addresses for itself, so it takes two pages of tables."""
    pages = 10_000
    program = f"for n in range({pages}): ctypes.string_at(map(4096, (0x4000 + n) << 30), 1)"
    async with sandboxes.open(seed=0) as sandbox:
        await sandbox.run(MAP)
        assert sandbox.process is not None
        before = sandbox.process.memory_held
        assert (await sandbox.run(program)).error is None
        assert sandbox.process.memory_held - before > 2 * pages * 4096


async def test_a_huge_page_is_not_kept_by_its_first_bytes(sandboxes: Sandboxes) -> None:
    """What else of it is unmapped stays in memory, and no count of the process tells."""
    program = (
        "start = map(2**27) + 2**21 - 1 >> 21 << 21\nlibc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(2**26), 14)\n"
        "for n in range(32): ctypes.memset(start + (n << 21), 1, 1)"
    )
    async with sandboxes.open(seed=0) as sandbox:
        await sandbox.run(MAP)
        before = resident(sandbox)
        assert (await sandbox.run(program)).error is None
        assert resident(sandbox) - before < 4 * MEBIBYTE


SPEND = "import os, time\nend = time.process_time() + {0}\nwhile time.process_time() < end: pass\n"


async def test_processor_time_is_of_all_programs_of_a_prediction() -> None:
    """Each leaves its process, so each next one finds a new one."""
    pool = Sandboxes(1, Limits(cpu_seconds=2, wall_seconds=300.0))
    try:
        async with pool.open(seed=0) as sandbox:
            told = [(await sandbox.run(SPEND.format(0.7) + "os._exit(0)")).error or "" for _ in range(5)]
        async with pool.open(seed=0) as another:
            assert (await another.run("print(1)")).printed == "1\n"
    finally:
        await pool.close()
    assert "ended its own process" in told[0]
    assert "ended its own process" in told[1]
    assert all("used more than 2 s of processor time" in each for each in told[3:])


async def test_processor_time_in_one_process_counts_for_the_next_programs() -> None:
    pool = Sandboxes(1, Limits(cpu_seconds=2, wall_seconds=300.0))
    try:
        async with pool.open(seed=0) as sandbox:
            outcomes = [await sandbox.run(SPEND.format(0.8)) for _ in range(4)]
    finally:
        await pool.close()
    assert [outcome.error is None for outcome in outcomes[:2]] == [True, True]
    assert all("used more than 2 s" in (outcome.error or "") for outcome in outcomes[2:])


async def test_a_program_that_computed_for_long_stands_back_in_its_next_process(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        assert (await sandbox.run(SPEND.format(0.5) + "os._exit(0)")).killed
        assert (await sandbox.run("x = 1")).error is None
        assert sandbox.process is not None
        pid = sandbox.process.pid.result()
        async with asyncio.timeout(10):
            while os.sched_getscheduler(pid) != os.SCHED_IDLE:  # noqa: ASYNC110  # a process has no event
                await asyncio.sleep(0.01)


STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}  # a test of wall time has these


@pytest.mark.parametrize("number", sorted(set(range(1, 65)) - STOPPING))
async def test_whatever_signal_ends_a_program_the_model_gets_a_sentence(sandboxes: Sandboxes, number: int) -> None:
    """40, as most real-time signals, has no name in `signal.Signals`."""
    async with sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run(f"import os, signal\nos.kill(os.getpid(), {number})\nprint('on')")
        if outcome.killed:
            assert outcome.error is not None
            assert "Its variables are gone." in outcome.error
        else:
            assert (outcome.printed, outcome.error) == ("on\n", None)
        assert (await sandbox.run("print(1)")).printed == "1\n"


WAYS_TO_END = {
    "an exit status": "import os; os._exit(3)",
    "a high exit status": "import os; os._exit(255)",
    "the exit of C": "import ctypes; ctypes.CDLL(None).exit(7)",
    "the end of all threads": "import ctypes; ctypes.CDLL(None).syscall(60, 0)",
    "a floating-point signal": "import signal; signal.raise_signal(signal.SIGFPE)",
    "no way to hear": "import os; os.close(3)",
    "no way to answer": "import os; os.close(4)",
    "its pipes crossed": "import os; os.dup2(1, 4); os.dup2(3, 1)",
    "an exit in a handler": (
        "import os, signal\nsignal.signal(signal.SIGALRM, lambda *_: os._exit(1))\nsignal.setitimer(0, 0.05)\n"
        "while True: pass"
    ),
    "an exit after the answer": (
        "import os, signal\nsignal.signal(signal.SIGALRM, lambda *_: os._exit(1))\nsignal.setitimer(0, 0.001)"
    ),
    "a broken interpreter": "import sys; sys.modules.clear(); sys.stdout = None; del __builtins__",
    "a name of the interpreter's": "import json, os; json.dumps = None; os.write = None",
    "an exit by name": "raise SystemExit('bye')",
    "an interrupt": "raise KeyboardInterrupt",
    "the end of a generator": "raise GeneratorExit",
}


@pytest.mark.parametrize("name", WAYS_TO_END)
async def test_whatever_way_a_program_ends_the_next_one_runs(sandboxes: Sandboxes, name: str) -> None:
    async with asyncio.timeout(60), sandboxes.open(seed=0) as sandbox:
        first = await sandbox.run(WAYS_TO_END[name])
        assert first.error is None or first.error
        assert not first.killed or "Its variables are gone." in (first.error or "")
        for _ in range(2):  # the first of them may find out what the program has broken
            last = await sandbox.run("print(1 + 1)")
    assert last.printed == "2\n"


async def test_who_writes_byte_by_byte_does_not_get_a_reading_for_each() -> None:
    received, seen = [], asyncio.Event()
    reading, writing = os.pipe()

    def take(data: bytes) -> None:
        received.append(data)
        if sum(map(len, received)) == 1000:
            seen.set()

    reader = PipeReader(reading, take, at_end=lambda: None)
    for _ in range(1000):
        os.write(writing, b"x")
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await seen.wait()
    seconds = 1000 * PAUSE  # what it would take at one byte a reading
    assert len(received) < seconds / PAUSE / 2
    reader.close()
    os.close(writing)


async def test_output_written_byte_by_byte_arrives_whole(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run("import os\nfor n in range(5000): os.write(1, b'%d' % (n % 10))")
    assert outcome.printed == "0123456789" * 500


async def test_no_prediction_sees_the_files_of_another(sandboxes: Sandboxes) -> None:
    """Not even by `stat`, and not even if a client has told it where they are."""
    async with sandboxes.open(seed=0) as one, sandboxes.open(seed=0) as other:
        where = (await one.run("import os; open('mark', 'w').write('xx'); print(os.getcwd())")).printed.strip()
        for call in (f"os.stat('{where}/mark')", f"os.stat('{where}')", f"os.access('{where}/mark', 0) or 1 / 0"):
            told = await other.run(f"import os\nprint({call})")
            assert told.error is not None
            assert "PermissionError" in told.error or "ZeroDivisionError" in told.error
        assert (await one.run("print(os.stat('mark').st_size, open('mark').read())")).printed == "2 xx\n"
