"""What a sandbox is asked at the start: a program that tries to get out, and one thing that must work.

The kernel's version says what it should refuse; only trying says what it does refuse (gVisor, an old Docker profile).
"""

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve()
# Files that it must not be able to make.
ESCAPED = (HERE.parent / "tools-escaped", Path(tempfile.gettempdir(), "tools-escaped"))
# Each attempt is a statement that must raise. %(...)s are filled in by `program`.
ATTEMPTS: dict[str, str] = {
    "read a file of the service": "open(%(file)r).read()",
    "list the service's folder": "os.listdir(%(folder)r)",
    "write beside the service": "open(%(beside)r, 'w')",
    "write to the temporary folder of all": "open(%(shared)r, 'w')",
    "read the processes": "os.listdir('/proc')",
    "open a TCP socket": "socket.socket()",
    "open a Unix socket": "socket.socket(socket.AF_UNIX)",
    "start a process": "os._exit(0) if os.fork() == 0 else os.wait()",
    "start a thread": "threading.Thread(target=int).start()",
    "run a command": "os.execv(%(python)r, ['python', '-c', ''])",
    "signal another process": "os.kill(%(parent)d, 0)",
    "make a link": "os.symlink(%(file)r, 'link')",
}
PROGRAM = """
import json, os, socket, threading
import colorsys  # not imported before: reading the standard library must work
escaped = []
for name, attempt in json.loads({attempts!r}).items():
    try:
        exec(attempt)
        escaped.append(name)
    except OSError:
        pass
    except RuntimeError:  # of a thread that can't be started
        pass
with open('own', 'w') as own:
    own.write('x')
print(json.dumps(escaped))
"""


def remove_escaped() -> None:
    """NOTE: on a disk that is read-only, removing what is not there fails with another error than that."""
    for file in ESCAPED:
        if file.exists():
            file.unlink()


def program(parent: int) -> str:
    """The program; it prints the names of the attempts that succeeded as JSON."""
    facts = {
        "file": str(HERE),
        "folder": str(HERE.parent),
        "beside": str(ESCAPED[0]),
        "shared": str(ESCAPED[1]),
        "python": sys.executable,
        "parent": parent,
    }
    return PROGRAM.format(attempts=json.dumps({name: text % facts for name, text in ATTEMPTS.items()}))
