"""An HTTP server for one file on 127.0.0.1, for `download.py`: it prints its port and serves until it is killed.

It sends the file from the page cache with sendfile, so the client is what limits the speed.
"""

import os
import re
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

RANGE = re.compile(rb"(?i)range: bytes=(\d+)-(\d*)")
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def serve(listening: socket.socket, path: Path) -> None:
    """Answers GET requests for the file or a range of it, in a thread for each connection."""
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection, path), daemon=True).start()


def _answer(connection: socket.socket, path: Path) -> None:
    """Answers the requests of one connection, one after the other, until the client closes it."""
    with suppress(OSError), connection, connection.makefile("rb") as requests, path.open("rb") as file:
        while head := _read_head(requests):
            if b".sha256" in head[0]:  # the file with the digest, which is not published here
                connection.sendall(NOT_FOUND)
            else:
                _send(connection, file, head)


def _read_head(requests: BinaryIO) -> list[bytes]:
    """The request line and the headers; none at the end of the connection."""
    lines: list[bytes] = []
    while (line := requests.readline()).strip():
        lines.append(line)
    return lines


def _send(connection: socket.socket, file: BinaryIO, head: list[bytes]) -> None:
    size = os.fstat(file.fileno()).st_size
    start, end, status = 0, size, "200 OK"
    for line in head:
        asked = RANGE.match(line)
        if asked:
            start = int(asked[1])
            if asked[2]:
                end = min(int(asked[2]) + 1, size)
            status = f"206 Partial Content\r\nContent-Range: bytes {start}-{end - 1}/{size}"
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {end - start}\r\n\r\n".encode())
    while start < end:
        start += os.sendfile(connection.fileno(), file.fileno(), start, end - start)


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listening.getsockname()[1], flush=True)
    serve(listening, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
