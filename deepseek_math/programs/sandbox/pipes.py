"""The service's ends of a sandbox's pipes: what programs print, and the lines that say how they ended."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

PIPE_BYTES = 1 << 20  # no pipe here holds more (16 pages of at most 64 KiB), so one reading empties it
PAUSE = 0.005  # seconds between two readings: who writes byte by byte does not get a reading for each
ANSWER_BYTES = 1 << 17  # of the line that says how a program ended; longer ones are not from us


class PipeReader:
    """Hands on what is written to a pipe, in at most 1 / PAUSE pieces a second, until it is closed."""

    def __init__(self, descriptor: int, take: Callable[[bytes], None], at_end: Callable[[], None]) -> None:
        self._descriptor: int | None = descriptor
        self._take = take
        self._at_end = at_end
        self._loop = asyncio.get_running_loop()
        self._resuming: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._listen()

    def read(self) -> None:
        """Hands on what is in the pipe now."""
        if self._descriptor is None:
            return
        try:
            data = os.read(self._descriptor, PIPE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            self._at_end()
            return
        self._take(data)

    def close(self) -> None:
        if self._descriptor is None:
            return
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None

    @property
    def closed(self) -> bool:
        return self._descriptor is None

    def _listen(self) -> None:
        self._resuming = None
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        self.read()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._resuming = self._loop.call_later(PAUSE, self._listen)


class Printed:
    """What one program prints, up to `most` bytes."""

    def __init__(self, descriptor: int, most: int) -> None:
        self.flooded = asyncio.Event()
        self._most = most
        self._bytes = bytearray()
        self._reader = PipeReader(descriptor, self._take, at_end=lambda: None)

    def begin(self) -> None:
        self._bytes.clear()

    def text(self) -> str:
        return self._bytes.decode(errors="replace")

    def read(self) -> None:
        """Takes what is in the pipe now."""
        self._reader.read()

    def close(self) -> None:
        self._reader.close()

    def _take(self, data: bytes) -> None:
        if len(self._bytes) + len(data) > self._most:
            self.flooded.set()
        else:
            self._bytes += data


class Answers:
    """The process's own words, a JSON object a line.

    A program can write here too: the first line that is no answer, or an answer while one is unread, is the last that
    is read. Then `broken` is set and the process is to be ended.
    """

    def __init__(self, descriptor: int) -> None:
        self.broken = False
        self._unread: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()  # None: there will be no more
        self._line = bytearray()
        self._reader = PipeReader(descriptor, self._take, at_end=lambda: self._unread.put_nowait(None))

    async def next(self) -> dict[str, Any] | None:
        """The next answer, or None when there will be none."""
        return await self._unread.get()

    @property
    def closed(self) -> bool:
        return self._reader.closed

    def close(self) -> None:
        self._reader.close()

    def _take(self, data: bytes) -> None:
        self._line += data
        *lines, self._line = self._line.split(b"\n")
        if len(self._line) > ANSWER_BYTES:
            lines = [bytearray()]
        for line in lines:
            answer = _parsed(line) if self._unread.empty() else None
            self._unread.put_nowait(answer)
            if answer is None:
                self.broken = True
                self._reader.close()
                return


def _parsed(line: bytearray) -> dict[str, Any] | None:
    """The object in a line, None where it is not one of ours."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("error"), str | None):
        return None
    return answer
