"""llama.cpp's chunks of one request, from the thread that it calls back to the event loop."""

import threading
import time
from collections.abc import Callable

from deepseek_math.engines.llama_cpp.mailbox import Mailbox

PROGRESS = b'"prompt_progress":'  # in a chunk that tells how far the prompt has been read

SIGN_SECONDS = 15.0  # after which chunks that are kept back are made known, by a sign of life

# Of one request: chunks and when the last of them was made, none for a sign of life; a fault; None, the end.
Arrival = tuple[float, list[bytes]] | BaseException | None
SIGN_OF_LIFE: Arrival = (0.0, [])


class Hearing:
    """Called on the request's thread, with each chunk. It hands on `step` at a time, and the first token's alone."""

    def __init__(self, mailbox: Mailbox, take: Callable[[Arrival], object], step: int) -> None:
        self.chunks = 0  # so far
        self.reading = True  # the prompt; the first chunk after it is waited for
        self.stop = threading.Event()  # once it is set, llama.cpp drops the request at its next chunk
        self._mailbox, self._take, self._step = mailbox, take, step
        self._unread: list[bytes] = []  # chunks that the loop does not know of yet
        self._told = time.monotonic()

    def __call__(self, chunk: bytes) -> bool:
        self.chunks += 1
        self._unread.append(chunk)
        if self.reading or len(self._unread) >= self._step:
            self._hand_over()
        elif time.monotonic() - self._told > SIGN_SECONDS:
            self._tell(SIGN_OF_LIFE)
        self.reading = self.reading and PROGRESS in chunk
        return self.stop.is_set()

    def end(self, fault: BaseException | None) -> None:
        if self._unread:
            self._hand_over()
        self._mailbox.post(self._take, fault, urgent=True)

    def _hand_over(self) -> None:
        chunks, self._unread = self._unread, []
        self._tell((time.perf_counter(), chunks))

    def _tell(self, item: Arrival) -> None:
        self._mailbox.post(self._take, item, urgent=self.reading)
        self._told = time.monotonic()
