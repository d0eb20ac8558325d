"""Runs a module as this process's program, and ends with its whole process group when standard input closes.

`python -m deepseek_math.local.server_process cog.server.http --host 127.0.0.1`, the leader of a session with a pipe as
standard input: the kernel closes the pipe however the parent ends, kill -9 too, so that no server and model outlive it.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        raise SystemExit("deepseek_math.local.server_process kills its process group: start it as a session's leader.")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
