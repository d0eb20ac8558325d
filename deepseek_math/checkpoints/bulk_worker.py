"""The process that hf_transfer runs in (see `bulk.py`), started by the path of this file.

Arguments: address, file, connections, bytes a chunk. One dot on stdout for each finished chunk.
"""

import ctypes
import os
import signal
import sys


def main() -> None:
    if sys.platform == "linux":  # it ends with the process that started it
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    import hf_transfer

    url, path, connections, chunk = sys.argv[1:]

    def told(_: int) -> None:
        os.write(1, b".")

    try:
        hf_transfer.download(url, path, int(connections), int(chunk), 0, 0, {}, told)
    except Exception as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
