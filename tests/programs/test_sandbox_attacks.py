"""Programs that try to get out of the sandbox. Each test fails if its attack succeeds.

A program says what it got on standard output; `ESCAPED` there means that it got out.
`python -m pytest tests/programs/test_sandbox_attacks.py -s` prints what each one got.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.pool import Sandboxes

TIGHT = Limits(wall_seconds=8.0, cpu_seconds=2, output_bytes=1 << 18)
SECRET = "the service's own secret"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandboxes() -> AsyncIterator[Sandboxes]:
    os.environ["SERVICE_SECRET"] = SECRET
    pool = Sandboxes(2, TIGHT)
    await pool.start()
    await pool.require()
    yield pool
    await pool.close()
    del os.environ["SERVICE_SECRET"]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the service's, open to all, with a secret in it and a socket that listens."""
    folder = tmp_path_factory.mktemp("service")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o777)
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o666)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        server.listen()
        yield folder


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A TCP port on loopback that takes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _accept(server), daemon=True).start()
        number: int = server.getsockname()[1]
        yield number


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()
        except OSError:
            return


# What stands before every attack. `syscall` calls the kernel without Python's or libc's wrappers.
TOOLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""

# name: program. OUTSIDE, PARENT and PORT are filled in. None of them may print ESCAPED.
ATTACKS: dict[str, str] = {
    # files
    "read a file of the service's": "open('OUTSIDE/secret').read(); print('ESCAPED')",
    "read the service's source": "open('SOURCE').read(); print('ESCAPED')",
    "list the service's folder": "os.listdir('OUTSIDE'); print('ESCAPED')",
    "read /etc/passwd": "open('/etc/passwd').read(); print('ESCAPED')",
    "read /etc/passwd by a bare system call": "syscall(SYS_openat, -100, b'/etc/passwd', 0); print('ESCAPED')",
    "list the root folder": "os.listdir('/'); print('ESCAPED')",
    "read a file of a checkpoint": "open('WEIGHTS').read(1); print('ESCAPED')",
    "overwrite a file of the service's": "open('OUTSIDE/secret', 'w'); print('ESCAPED')",
    "empty a file by opening it to read": "os.open('OUTSIDE/secret', os.O_RDONLY | os.O_TRUNC); print('ESCAPED')",
    "empty a file by opening it for nothing": "os.open('OUTSIDE/secret', os.O_ACCMODE | os.O_TRUNC); print('ESCAPED')",
    "empty a file by truncate": "os.truncate('OUTSIDE/secret', 0); print('ESCAPED')",
    "create a file beside the service's": "open('OUTSIDE/new', 'w'); print('ESCAPED')",
    "create a file in /tmp": "open('/tmp/escaped', 'w'); print('ESCAPED')",
    "create a file in /dev/shm": "open('/dev/shm/escaped', 'w'); print('ESCAPED')",
    "delete a file of the service's": "os.unlink('OUTSIDE/secret'); print('ESCAPED')",
    "rename a file out of the folder": "open('own', 'w').close(); os.rename('own', 'OUTSIDE/new'); print('ESCAPED')",
    "rename a file into the folder": "os.rename('OUTSIDE/secret', 'own'); print('ESCAPED')",
    "a symbolic link out of the folder": "os.symlink('OUTSIDE/secret', 'link'); open('link').read(); print('ESCAPED')",
    "a hard link out of the folder": "os.link('OUTSIDE/secret', 'link'); open('link').read(); print('ESCAPED')",
    "climb out by ..": "open('../' * 20 + 'etc/passwd').read(); print('ESCAPED')",
    "read another sandbox's folder": "print(os.listdir('..')); print('ESCAPED')",
    "change the rights of a file": "os.chmod('OUTSIDE/secret', 0); print('ESCAPED')",
    "change the times of a file": "os.utime('OUTSIDE/secret', (0, 0)); print('ESCAPED')",
    "put an attribute on a file": "os.setxattr('OUTSIDE/secret', 'user.x', b'1'); print('ESCAPED')",
    "make a device": "os.mknod('memory', 0o020666, os.makedev(1, 1)); open('memory'); print('ESCAPED')",
    "make a named pipe": "os.mkfifo('OUTSIDE/pipe'); print('ESCAPED')",
    "make a folder": "os.mkdir('deep'); print('ESCAPED')",
    "make a file without a name": "os.open('.', os.O_TMPFILE | os.O_RDWR); print('ESCAPED')",
    "make a file without a name to empty": "os.open('.', os.O_TMPFILE | os.O_WRONLY | os.O_TRUNC); print('ESCAPED')",
    "write a file that is deleted": "f = open('own', 'wb'); os.unlink('own'); print('ESCAPED')",
    "write a file that is replaced": (
        "f = open('own', 'wb'); open('other', 'wb').close(); os.replace('other', 'own'); print('ESCAPED')"
    ),
    "delete its own interpreter": "os.unlink(sys.executable); print('ESCAPED')",
    "overwrite its own library": "open(os.__file__, 'a'); print('ESCAPED')",
    "plant a module in a package": "open(os.path.dirname(os.__file__) + '/planted.py', 'w'); print('ESCAPED')",
    "leave its root": "os.chroot('.'); print('ESCAPED')",
    "mount a folder": "libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0 and print('ESCAPED')",
    # what it can see
    "read its environment in the kernel": "open('/proc/self/environ').read(); print('ESCAPED')",
    "read the environment of the service": "open('/proc/PARENT/environ').read(); print('ESCAPED')",
    "read the memory of the service": "open('/proc/PARENT/mem', 'rb').read(1); print('ESCAPED')",
    "read the command line of others": "open('/proc/1/cmdline').read(); print('ESCAPED')",
    "list the processes": "os.listdir('/proc'); print('ESCAPED')",
    "a secret in its environment": "print('ESCAPED' if dict(os.environ) or os.environb or os.getenv('PATH') else 'no')",
    "the environment of C": (
        "environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ'); "
        "print('ESCAPED' if environ and environ[0] else 'none')"
    ),
    # network
    "connect to loopback": "import socket; socket.create_connection(('127.0.0.1', PORT), 1); print('ESCAPED')",
    "connect to the world": "import socket; socket.create_connection(('192.0.2.1', 80), 1); print('ESCAPED')",
    "listen on a port": "import socket; socket.create_server(('127.0.0.1', 0)); print('ESCAPED')",
    "look up a name": "import socket; socket.getaddrinfo('localhost', 80); socket.socket(); print('ESCAPED')",
    "a UDP socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM); print('ESCAPED')",
    "a raw socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('ESCAPED')",
    "a packet socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('ESCAPED')",
    "a netlink socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('ESCAPED')",
    "connect to a Unix socket": (
        "import socket; socket.socket(socket.AF_UNIX).connect('OUTSIDE/socket'); print('ESCAPED')"
    ),
    "a pair of sockets": "import socket; socket.socketpair(); print('ESCAPED')",
    "a socket by a bare system call": "syscall(SYS_socket, 2, 1, 0); print('ESCAPED')",
    "fetch a page": (
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:PORT', timeout=1); print('ESCAPED')"
    ),
    # processes
    "fork": "os.fork() and print('ESCAPED')",
    "fork by a bare system call": "syscall(SYS_clone, 17, 0, 0, 0, 0) and print('ESCAPED')",
    "fork by clone3": "syscall(435, ctypes.create_string_buffer(88), 88); print('ESCAPED')",
    "vfork": "libc.vfork() > 0 and print('ESCAPED')",
    "a thread": "import threading; threading.Thread(target=print, args=('ESCAPED',)).start()",
    "a pool of processes": "import multiprocessing; multiprocessing.Pool(2); print('ESCAPED')",
    "a subprocess": "import subprocess; print(subprocess.check_output(['/bin/echo', 'ESCAPED']).decode())",
    "os.system": "print('ESCAPED' if os.system('true') == 0 else 'no')",
    "become another program": "os.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "become another program without a file": "f = os.memfd_create('x'); print('ESCAPED')",
    "signal the service": "os.kill(PARENT, 0); print('ESCAPED')",
    "signal the zygote": "os.kill(os.getppid(), 9); print('ESCAPED')",
    "signal everyone": "os.kill(-1, 0); print('ESCAPED')",
    "signal its group": "os.killpg(0, 0); print('ESCAPED')",
    "signal by tgkill": "syscall(SYS_tgkill, PARENT, PARENT, 0); print('ESCAPED')",
    "signal by a pidfd": "os.pidfd_open(PARENT); print('ESCAPED')",
    "signal by a file's owner": "import fcntl; fcntl.fcntl(1, fcntl.F_SETOWN, PARENT); print('ESCAPED')",
    "ptrace the service": "libc.ptrace(16, PARENT, None, None) == 0 and print('ESCAPED')",
    "read memory of the service": (
        "vector = ctypes.create_string_buffer(16)\n"
        "syscall(SYS_process_vm_readv, PARENT, vector, 1, vector, 1, 0); print('ESCAPED')"
    ),
    "renice the service": "os.setpriority(os.PRIO_PROCESS, PARENT, 19); print('ESCAPED')",
    "shared memory of System V": "libc.shmget(0, 4096, 0o1666) >= 0 and print('ESCAPED')",
    "a message queue": "libc.msgget(0, 0o1666) >= 0 and print('ESCAPED')",
    # the kernel
    "become root": "os.setuid(0); print('ESCAPED')",
    "a namespace of its own": "libc.unshare(0x10000000) == 0 and print('ESCAPED')",
    "load a BPF program": "syscall(SYS_bpf, 5, ctypes.create_string_buffer(128), 128); print('ESCAPED')",
    "io_uring": "syscall(425, 1, ctypes.create_string_buffer(120)); print('ESCAPED')",
    "userfaultfd": "syscall(SYS_userfaultfd, 1); print('ESCAPED')",
    "perf": "syscall(SYS_perf_event_open, ctypes.create_string_buffer(128), 0, -1, -1, 0); print('ESCAPED')",
    "the keyring": "syscall(SYS_keyctl, 0, -3, 1); print('ESCAPED')",
    "leave the filter": "libc.prctl(22, 0, 0, 0, 0) == 0 and print('ESCAPED')",
    "raise its limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)); "
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); print('ESCAPED')"
    ),
    "an ioctl on what it prints to": "import fcntl; fcntl.ioctl(1, 0x5412, b'x'); print('ESCAPED')",
    # memory past the bound
    "shared memory without a file": "import mmap; mmap.mmap(-1, 4096); print('ESCAPED')",
    "shared memory with a file": (
        "import mmap; f = open('own', 'w+b'); f.truncate(4096); mmap.mmap(f.fileno(), 4096); print('ESCAPED')"
    ),
    "shared memory of a library": (
        "import mmap; mmap.mmap(open(os.__file__).fileno(), 4096, prot=mmap.PROT_READ); print('ESCAPED')"
    ),
    "huge pages": "import mmap; mmap.mmap(-1, 2**21, mmap.MAP_PRIVATE | 0x40020); print('ESCAPED')",
    "a move that leaves the old pages": (
        "libc.mremap.restype = ctypes.c_void_p; page = ctypes.addressof(ctypes.create_string_buffer(3 * 4096)) + 4095\n"
        "moved = libc.mremap(ctypes.c_void_p(page // 4096 * 4096), 4096, 4096, 5, None)\n"
        "print('ESCAPED' if moved != 2**64 - 1 else 'no')"
    ),
    "advice that allocators do not give": (
        "import mmap; page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE)\n"
        "for advice in (1, 2, 3, 9, 10, 11, 12, 13, 16, 17, 20, 21, 22, 23, 25, 100):\n"
        "    try:\n        page.madvise(advice); print('ESCAPED', advice)\n    except PermissionError:\n        pass"
    ),
    "a pipe": "os.pipe(); print('ESCAPED')",
    "a longer pipe": "import fcntl; fcntl.fcntl(1, 1031, 2**20); print('ESCAPED')",
    "memory of an event descriptor": "libc.eventfd(0, 0) >= 0 and print('ESCAPED')",
    # talking to another prediction
    "a record lock on a library": "import fcntl; fcntl.lockf(open(os.__file__), fcntl.LOCK_SH); print('ESCAPED')",
    "a record lock on /dev/null": "import fcntl; fcntl.lockf(0, fcntl.LOCK_EX); print('ESCAPED')",
    "a question for record locks": (
        "import fcntl, struct; fcntl.fcntl(open(os.__file__), fcntl.F_GETLK, struct.pack('hhqqi4x', 1, 0, 0, 0, 0)); "
        "print('ESCAPED')"
    ),
    "a lock of an open file": (
        "import fcntl, struct; fcntl.fcntl(0, 37, struct.pack('hhqqi4x', 0, 0, 0, 0, 0)); print('ESCAPED')"
    ),
    "a lock on a file": "import fcntl; fcntl.flock(open(os.__file__), fcntl.LOCK_SH); print('ESCAPED')",
    "a lease on a file": "import fcntl; fcntl.fcntl(open(os.__file__), 1024, fcntl.F_RDLCK); print('ESCAPED')",
    "a watch on a library": "libc.inotify_init() >= 0 and print('ESCAPED')",
    "a notice of changes": "import fcntl; fcntl.fcntl(os.open('.', 0), fcntl.F_NOTIFY, 1); print('ESCAPED')",
    "a shared futex": "word = ctypes.c_int(); syscall(SYS_futex, ctypes.byref(word), 1, 1, 0, 0, 0); print('ESCAPED')",
    "the processor time of the service": "import time; time.clock_gettime(~PARENT << 3 | 2); print('ESCAPED')",
    "the clock of the service": "import time; time.clock_getres(~PARENT << 3 | 2); print('ESCAPED')",
    "sleep until the service has worked": (
        "syscall(SYS_clock_nanosleep, ctypes.c_int(~PARENT << 3 | 2), 0, (ctypes.c_long * 2)(0, 1), 0); "
        "print('ESCAPED')"
    ),
    "the free memory of the machine": "libc.sysinfo(ctypes.create_string_buffer(128)) == 0 and print('ESCAPED')",
    "the free disk of the machine": "os.statvfs('.'); print('ESCAPED')",
    "the load of the machine": "os.getloadavg(); print('ESCAPED')",
    "the processors of the service": "os.sched_getaffinity(PARENT); print('ESCAPED')",
    "the priority of the service": "os.getpriority(os.PRIO_PROCESS, PARENT); print('ESCAPED')",
    "the session of the service": "os.getsid(PARENT); print('ESCAPED')",
    "what of a library is in memory": (
        "libc.mincore(ctypes.c_void_p(0), 0, ctypes.create_string_buffer(1)) == 0 and print('ESCAPED')"
    ),
    "a queue of signals": (
        "info = ctypes.create_string_buffer(128); libc.sigqueue(os.getpid(), 40, ctypes.c_void_p(1)) == 0 "
        "and print('ESCAPED')"
    ),
    "a timer of the kernel": "libc.timer_create(0, None, ctypes.byref(ctypes.c_void_p())) == 0 and print('ESCAPED')",
    # work for the service or the machine
    "output byte by byte": "import fcntl; fcntl.fcntl(1, fcntl.F_SETFL, os.O_WRONLY | os.O_DIRECT); print('ESCAPED')",
    "a signal for each byte": (
        "import fcntl; fcntl.fcntl(1, fcntl.F_SETFL, os.O_WRONLY | os.O_ASYNC); print('ESCAPED')"
    ),
    "a file past the cache": "os.open('own', os.O_CREAT | os.O_WRONLY | os.O_DIRECT); print('ESCAPED')",
    "flush the disk": "f = open('own', 'w'); f.write('x'); f.flush(); os.fsync(f.fileno()); print('ESCAPED')",
    "flush the disk with each write": "os.open('own', os.O_CREAT | os.O_WRONLY | os.O_SYNC); print('ESCAPED')",
    "flush the data with each write": "os.open('own', os.O_CREAT | os.O_WRONLY | os.O_DSYNC); print('ESCAPED')",
    "flush all disks": "os.sync(); libc.syncfs(os.open('.', 0)) == 0 and print('ESCAPED')",
    "read a file ahead": "os.posix_fadvise(os.open(os.__file__, 0), 0, 0, 3); print('ESCAPED')",
    "reserve a file's blocks": "os.posix_fallocate(os.open('own', os.O_CREAT | os.O_RDWR), 0, 4096); print('ESCAPED')",
    "copy between descriptors": "os.sendfile(1, os.open(os.__file__, 0), 0, 10); print('ESCAPED')",
    # Python
    "a reducer in a pickle": (
        "import pickle\nclass Bomb:\n    def __reduce__(self):\n        return os.system, ('echo ESCAPED',)\n"
        "print(pickle.loads(pickle.dumps(Bomb())))"
    ),
    "an import hook": (
        "class Finder:\n    def find_spec(self, name, path=None, target=None):\n        open('OUTSIDE/secret').read()\n"
        "        print('ESCAPED')\nsys.meta_path.insert(0, Finder())\nimport antigravity"
    ),
    "the service's modules": (
        "import deepseek_math.service; print('ESCAPED')"  # not on the path, and not readable if it were
    ),
    "the frames above it": (
        "frame = sys._getframe()\nwhile frame:\n"
        "    print('ESCAPED' if 'SECRET' in str(frame.f_globals.get('os', os).environ) else '')\n"
        "    frame = frame.f_back"
    ),
    "all objects in its memory": (
        "import gc\nprint('ESCAPED' if any(isinstance(o, str) and o == ''.join(['the service', \"'s own secret\"]) "
        "for o in gc.get_objects()) else 'no')"
    ),
    "a descriptor that was left open": (
        "left = []\nfor number in range(5, 1024):\n    try:\n        os.fstat(number); left.append(number)\n"
        "    except OSError:\n        pass\nprint('ESCAPED' if left else 'none')"
    ),
}
# What follows runs as machine code, for libc offers no such calls.
MACHINE_CODE = """
import mmap
def machine_code(code):
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(code))
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
X86_ATTACKS = {
    # mov eax, ...; syscall or int 0x80; ret. Each would give a process number.
    "a call by machine code": ("b827000000 0f05 c3", "print('it runs', machine_code(CODE) == os.getpid())"),
    "an x32 call by machine code": ("b827000040 0f05 c3", "machine_code(CODE); print('ESCAPED')"),
    "an x32 socket by machine code": (
        "bf02000000 be01000000 31d2 b829000040 0f05 c3",
        "print('ESCAPED' if machine_code(CODE) >= 0 else 'no')",
    ),
    "a 32-bit call by machine code": ("b814000000 cd80 c3", "machine_code(CODE); print('ESCAPED')"),
}
if os.uname().machine == "x86_64":
    ATTACKS |= {name: MACHINE_CODE + call.replace("CODE", repr(code)) for name, (code, call) in X86_ATTACKS.items()}
NUMBERS = {
    "x86_64": {"openat": 257, "socket": 41, "clone": 56, "tgkill": 234, "process_vm_readv": 310, "bpf": 321}
    | {"userfaultfd": 323, "perf_event_open": 298, "keyctl": 250, "futex": 202, "clock_nanosleep": 230},
    "aarch64": {"openat": 56, "socket": 198, "clone": 220, "tgkill": 131, "process_vm_readv": 270, "bpf": 280}
    | {"userfaultfd": 282, "perf_event_open": 241, "keyctl": 219, "futex": 98, "clock_nanosleep": 115},
}


def aimed(program: str, outside: Path, port: int) -> str:
    """The attack with this machine's facts in it."""
    facts: dict[str, object] = {"OUTSIDE": outside, "PARENT": os.getpid(), "PORT": port}
    facts["SOURCE"] = ROOT / "deepseek_math/service.py"
    facts["WEIGHTS"] = ROOT / "weights/README.md"
    facts |= {f"SYS_{name}": number for name, number in NUMBERS[os.uname().machine].items()}
    for name, value in facts.items():
        program = program.replace(name, str(value))
    return TOOLS + program


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_gets_nowhere(sandboxes: Sandboxes, outside: Path, port: int, name: str) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run(aimed(ATTACKS[name], outside, port))
    got = (outcome.error or outcome.printed).strip().splitlines() or [""]
    print(f"| {name} | {got[-1][:90]} |")
    assert "ESCAPED" not in outcome.printed
    assert outcome.error is None or "ESCAPED" not in outcome.error
    assert "NameError" not in (outcome.error or "")  # an attack that was never made proves nothing
    assert "SyntaxError" not in (outcome.error or "")
    assert (outside / "secret").read_text() == SECRET
    assert (outside / "secret").stat().st_mtime > 1
    assert sorted(os.listdir(outside)) == ["secret", "socket"]
    assert not Path("/tmp/escaped").exists()
    assert not Path("/dev/shm/escaped").exists()


# name: program, and what the model is told about its end
GREEDY: dict[str, tuple[str, str]] = {
    "an infinite loop": ("while True: pass", "Timeout Error"),
    "an infinite loop that heeds no signal": (
        "import signal\nfor n in (2, 14, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "Its variables are gone",
    ),
    "sleep": ("import time; time.sleep(1000)", "ran for more than 8 s"),
    "stop itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "ran for more than 8 s"),
    "one long computation in C": ("x = 7 ** (10 ** 9)", "Timeout Error"),
    "infinite output": ("while True: print('x' * 1000)", "printed more than 256 KiB"),
    "infinite output to nowhere": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "Timeout Error"),
    "a list of 10 GB": ("x = [0] * (10 * 2**30 // 8)", "MemoryError"),
    "memory bit by bit": ("x = []\nwhile True: x.append(bytearray(2**24))", "MemoryError"),
    "memory of C": (
        "import ctypes\nlibc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n"
        "while libc.malloc(2**24): pass\nraise MemoryError",
        "MemoryError",
    ),
    "deep recursion": ("def f(): return f()\nf()", "RecursionError"),
    "recursion past the stack": (
        "import sys; sys.setrecursionlimit(10**8)\nclass A:\n    __getattr__ = lambda self, n: getattr(self, n + 'x')\n"
        "def f(x): return f([x])\nsorted([A(), A()], key=lambda a: a.b)",
        "SIGSEGV",
    ),
    "a crash": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "an abort": ("import os; os.abort()", "SIGABRT"),
    "a large file": ("f = open('x', 'wb')\nwhile True: f.write(bytes(2**20))", "File too large"),
    "many large files": (
        "import time\nfor n in range(100):\n    with open(str(n), 'wb') as f: f.write(bytes(2**21))\ntime.sleep(9)",
        "files took more than 32 MiB",
    ),
    "many small files": (
        "import time\nfor n in range(1000): open(str(n), 'w').close()\ntime.sleep(9)",
        "made more than 200 files",
    ),
    "many open files": ("x = [open('x', 'w') for _ in range(1000)]", "Too many open files"),
    "leave the process": ("import os; os._exit(0)", "ended its own process"),
    "close every descriptor": ("import os; os.closerange(0, 100)", "ended"),
    "write nonsense to every descriptor": (
        "import os\nfor n in range(100):\n    try: os.write(n, b'nonsense\\n' * 1000)\n    except OSError: pass",
        "ended",
    ),
    "a flood of short answers": ("import os\nwhile True: os.write(4, b'x\\n' * 32768)", "ended"),
    "a flood of answers as they should be": ("import os\nwhile True: os.write(4, b'{}\\n' * 20000)", "ended"),
    "an answer too deep to read": ("import os\nos.write(4, b'[' * 5000 + b'\\n')\nwhile True: pass", "ended"),
    "an error that is no text": ("import os\nos.write(4, b'{\"error\": [[1]]}\\n')\nwhile True: pass", "ended"),
    "an answer that never ends": ("import os\nwhile True: os.write(4, b'x' * 60000)", "ended"),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "Timeout Error"),
    "thread bomb": (
        "import threading\nwhile True:\n    try: threading.Thread(target=int).start()\n    except RuntimeError: pass",
        "Timeout Error",
    ),
}


@pytest.mark.parametrize("name", GREEDY)
async def test_a_greedy_program_ends_within_its_limits_and_the_model_is_told(sandboxes: Sandboxes, name: str) -> None:
    program, told = GREEDY[name]
    async with asyncio.timeout(120), sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run(program)
        assert outcome.error is not None
        print(f"| {name} | {outcome.error.splitlines()[-1][:90]} |")
        assert told in outcome.error
        assert not outcome.killed or len(outcome.error) <= 100  # no cut falls into it
        after = await sandbox.run("print(1 + 1)")
    spent = "processor time" in outcome.error  # of the prediction: it has none left
    assert after.printed == "2\n" or (spent and "processor time" in (after.error or ""))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="it is x86-64 machine code")
async def test_machine_code_runs_and_calls_of_other_kinds_end_the_process(
    sandboxes: Sandboxes, outside: Path, port: int
) -> None:
    """Else the attacks by machine code would prove nothing."""
    told = []
    for name in X86_ATTACKS:
        async with sandboxes.open(seed=0) as sandbox:
            outcome = await sandbox.run(aimed(ATTACKS[name], outside, port))
        told.append(outcome.error or outcome.printed)
    assert told[0] == "it runs True\n"
    assert all("SIGSYS" in each or "SIGSEGV" in each for each in told[1:]), told  # the latter without 32-bit calls


async def test_output_that_comes_with_the_answer_counts() -> None:
    """Both are in their pipes before we look at either."""
    program = (
        "import os, time\nopen('here', 'w').close()\ntime.sleep(0.3)\nos.write(1, b'x' * 60000)\n"
        "os.write(4, b'{\"error\": null}\\n')\nos.kill(os.getpid(), 19)"
    )
    pool = Sandboxes(1, Limits(output_bytes=50_000))
    try:
        async with pool.open(seed=0) as sandbox:
            pid = int((await sandbox.run("print('x' * 40000); import os; print(os.getpid())")).printed.split()[1])
            assert sandbox.process is not None
            here = Path(f"/proc/self/fd/{sandbox.process._folder}/here")  # its path is shut
            running = asyncio.create_task(sandbox.run(program))
            while not here.exists():  # noqa: ASYNC110  # a file has no event
                await asyncio.sleep(0.01)
            while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)  # noqa: ASYNC251  # so that the loop sees nothing of it
            outcome = await running
            assert outcome.error is not None
            assert "printed more than" in outcome.error
    finally:
        await pool.close()


async def test_who_prints_on_after_the_answer_is_not_listened_to_for_ever(sandboxes: Sandboxes) -> None:
    """One byte at a time, so that a reader who wants everything would never see the end."""
    program = "import os\nos.write(4, b'{\"error\": null}\\n')\nwhile True: os.write(1, b'x')"
    async with asyncio.timeout(5), sandboxes.open(seed=0) as sandbox:
        outcome = await sandbox.run(program)
    assert outcome.error is None
    assert len(outcome.printed) <= 1 << 16  # what a pipe holds


async def test_what_is_no_text_in_an_error_or_output_becomes_text(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        error = await sandbox.run("raise ValueError('\\ud800 half')")
        printed = await sandbox.run("print('\\ud800 half')")
        bytes_ = await sandbox.run("import os; os.write(1, b'\\xed\\xa0\\x80 half')")
    assert error.error == "ValueError: \\ud800 half"
    for text in (printed.printed, bytes_.printed):
        assert text.encode().decode().strip().endswith(" half")


async def test_an_ended_program_leaves_no_process_and_no_file(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as sandbox:
        before = await sandbox.run("import os; open('own', 'w').close(); print(os.getpid(), os.getcwd())")
        pid, folder = before.printed.split()
        assert psutil.pid_exists(int(pid))
        assert sandbox.process is not None
        assert os.listdir(sandbox.process._folder) == ["own"]
        assert (await sandbox.run("import os; os.abort()")).killed
    async with asyncio.timeout(20):
        while psutil.pid_exists(int(pid)) or Path(folder).parent.exists():  # noqa: ASYNC110  # they have no event
            await asyncio.sleep(0.01)


async def test_nothing_is_left_of_an_earlier_prediction(sandboxes: Sandboxes) -> None:
    async with sandboxes.open(seed=0) as one, sandboxes.open(seed=0) as other:
        left = await one.run("import builtins, sympy, os; x = builtins.x = sympy.x9 = 1; open('own', 'w').close()")
        assert left.error is None
        beside = await other.run(
            "import builtins, sympy, os; print('x' in dir(), hasattr(builtins, 'x'), os.listdir())"
        )
        assert beside.printed == "False False []\n"
    async with sandboxes.open(seed=0) as later:
        after = await later.run("import builtins, sympy, os; print('x' in dir(), hasattr(sympy, 'x9'), os.listdir())")
    assert after.printed == "False False []\n"


async def test_a_program_that_fakes_its_end_does_not_run_on(sandboxes: Sandboxes) -> None:
    """It says that it is done, and goes on counting: nothing of it runs until the next program is due."""
    count = (
        "import os, time\nos.write(4, b'{\"error\": null}\\n')\n"
        "while True:\n    open('n', 'a').write('x'); time.sleep(0.01)"
    )
    async with sandboxes.open(seed=0) as sandbox:
        assert not (await sandbox.run(count)).killed
        await asyncio.sleep(0.3)  # a signal takes its way by the zygote
        assert sandbox.process is not None
        file = Path(f"/proc/self/fd/{sandbox.process._folder}/n")  # its path is shut
        size = file.stat().st_size if file.exists() else 0
        await asyncio.sleep(0.5)
        assert (file.stat().st_size if size else 0) == size
