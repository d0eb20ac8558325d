"""Live chunks and cancellation under coglet, Cog's server. The one file that knows how it behaves (0.23.1).

coglet collects what an async generator yields until it ends, and iterates a *sync* generator live but takes one
prediction at a time. A coroutine that *returns* a sync generator gets both: many at once, each chunk sent at once.
`stream` builds that generator over an async one. What is missing then is cancellation: coglet cancels only the
future of the coroutine, which is done by then. `install` watches for that cancel, and `second_reader.py` makes up for
one that coglet loses.

`tests/cog/test_live.py` holds all of it against a real coglet.
"""

import asyncio
import contextvars
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

from cog import CancelationException

from deepseek_math.cog.second_reader import join_and_leave, prediction_id
from deepseek_math.errors import ServiceError

log = logging.getLogger(__name__)

COGLET = "0.23.1"  # the version whose behaviour is described here and tested

PREDICTION = "_ctx_wrapper"  # the coroutine that coglet makes of each prediction

# Text that comes faster is joined: more chunks help no reader and cost every client. A little less than the period of
# `engines/llama_cpp/mailbox.py`, so that what was held there is not held again.
CHUNK_SECONDS = 1 / 40
# After which a stream is looked at, once, to see whether anybody reads it: a cancel is lost in the first milliseconds
# alone.
LOOK_SECONDS = 1.0


class _CancelSignal:
    """Set once, from any thread; whoever listens is called once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        with self._lock:
            self._listener = listener
            already = self._set
        if already:
            listener()

    def set(self) -> None:
        with self._lock:
            first, self._set = not self._set, True
            listener = self._listener
        if first and listener:
            listener()


_signal: contextvars.ContextVar[_CancelSignal | None] = contextvars.ContextVar("cog_cancel_signal", default=None)


def install() -> None:
    """Lets `stream` hear coglet's cancels. Call it where predict.py is imported; a second call does nothing.

    coglet starts each prediction with `asyncio.run_coroutine_threadsafe`, looked up at each call, and waits on its slot
    thread for the future that this returned. It cancels in two ways: `.cancel()` on that future, also after the future
    is done, and in the first milliseconds a CancelationException that it raises inside the slot thread, wherever that
    is. The wrapper gives each prediction a signal and sets it from both. Without the wrapper predictions still stream;
    they only run to their end.
    """
    if version("coglet") != COGLET:
        log.warning("coglet %s is installed; cancelling is tested with %s alone", version("coglet"), COGLET)
    start = asyncio.run_coroutine_threadsafe
    if getattr(start, "signals_cancel", False):
        return

    def run_coroutine_threadsafe(coro: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Future[Any]:
        if getattr(coro, "__name__", "") != PREDICTION:
            return start(coro, loop)
        signal = _CancelSignal()
        try:
            context = contextvars.copy_context()
            context.run(_signal.set, signal)
            future = context.run(start, coro, loop)
            _watch(future, signal)
        except CancelationException:
            signal.set()
            future = Future()
            future.cancel()  # what coglet waits for; it takes an exception that is raised here for a failure
        return future

    run_coroutine_threadsafe.signals_cancel = True  # type: ignore[attr-defined]
    asyncio.run_coroutine_threadsafe = run_coroutine_threadsafe


def _watch(future: Future[Any], signal: _CancelSignal) -> None:
    """Sets the signal when coglet cancels the future, or raises its exception in a thread that waits for the result."""
    cancel, result = future.cancel, future.result

    def cancel_and_signal() -> bool:
        cancelled = cancel()
        signal.set()
        return cancelled

    def result_or_signal() -> Iterator[Any]:
        try:
            yield None
            value = result()
        except CancelationException:
            cancel_and_signal()
            raise CancelledError("the prediction was cancelled as it started") from None
        yield value

    # A generator goes on inside its `try`; a function would meet an exception that is pending before its first line.
    waiting = result_or_signal()
    next(waiting)
    future.cancel = cancel_and_signal  # type: ignore[method-assign]
    future.result = waiting.__next__  # type: ignore[assignment, method-assign]


_END = object()


def stream(pieces: AsyncGenerator[str, None]) -> Iterator[str]:
    """Runs `pieces` on the running event loop and returns an iterator over its text for coglet's slot thread.

    Call it in `async def predict`. Pieces that follow one another within `CHUNK_SECONDS` are joined. The iterator
    ends, or raises what `pieces` raised, only after `pieces` has cleaned up: the slot stays busy until then.
    NOTE: code in `pieces` runs in the prediction's own context, so its prints, logs and metrics find their way;
    code on the slot thread does not.
    """
    loop = asyncio.get_running_loop()
    prediction = prediction_id()
    arrived: queue.SimpleQueue[object] = queue.SimpleQueue()
    chunk = _Chunk(loop, arrived.put)

    async def pump() -> None:
        try:
            with _at_work_as(prediction):
                async for piece in pieces:
                    _require_alone(prediction)
                    chunk.add(piece)
                _require_alone(prediction)
        finally:
            chunk.send()
            await pieces.aclose()

    def ended(task: asyncio.Task[None]) -> None:
        arrived.put(asyncio.CancelledError() if task.cancelled() else task.exception() or _END)

    task = loop.create_task(pump())
    task.add_done_callback(ended)  # also hears of a task that was cancelled before its first step
    _look_later(loop, task, prediction)

    def stop() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    signal = _signal.get() or _CancelSignal()
    signal.listen(stop)
    chunks = _chunks(arrived, signal)
    next(chunks)  # up to its first line: a generator that has not begun runs no `finally` when it is dropped
    return chunks


_at_work = set[str]()  # ids of predictions
_shared = set[str]()  # those of them that another request had as well


@contextmanager
def _at_work_as(prediction: str | None) -> Iterator[None]:
    """For as long as a prediction is at work. Raises ServiceError where one of its id is already, which then fails too.

    coglet keeps one state for both, and the clients of both read it: one of them would get the other one's text. An id
    that coglet makes is the time in nanoseconds, which two requests may share (docs/cog-faults.md).
    """
    if prediction is None:
        yield
        return
    if prediction in _at_work:
        _shared.add(prediction)
        raise _not_alone(prediction)
    _at_work.add(prediction)
    try:
        yield
    finally:
        _at_work.discard(prediction)
        _shared.discard(prediction)


def _require_alone(prediction: str | None) -> None:
    if prediction in _shared:
        raise _not_alone(prediction)


def _not_alone(prediction: str | None) -> ServiceError:
    return ServiceError(
        "prediction_id_shared",
        f"Two predictions at work have the id {prediction}, so neither has a text of its own. Send each again, with an "
        "id of its own.",
    )


_looks = set[asyncio.Task[None]]()  # held here, as the loop holds no task


def _look_later(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], prediction: str | None) -> None:
    """Looks once whether anybody reads what `task` makes. A prediction that ends sooner costs a timer."""
    if prediction is None:
        return

    def look() -> None:
        looking = loop.create_task(join_and_leave(prediction))
        _looks.add(looking)
        looking.add_done_callback(_looks.discard)

    timer = loop.call_later(LOOK_SECONDS, look)
    task.add_done_callback(lambda _: timer.cancel())


class _Chunk:
    """Pieces that have come since the last chunk. Joined here, not on the slot thread, which then wakes less often."""

    def __init__(self, loop: asyncio.AbstractEventLoop, put: Callable[[str], None]) -> None:
        self._loop, self._put = loop, put
        self._parts: list[str] = []
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, piece: str) -> None:
        """Sends it once the loop is free, which joins what came at once, or when the next chunk is due."""
        self._parts.append(piece)
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self.send)

    def send(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._put("".join(self._parts))
        self._parts.clear()
        self._due = self._loop.time() + CHUNK_SECONDS


def _chunks(arrived: "queue.SimpleQueue[object]", signal: _CancelSignal) -> Iterator[str]:
    """Yields an empty text first, so that it can be started where it is made."""
    try:
        yield ""
        while isinstance(item := arrived.get(), str):
            text = [item]
            with suppress(queue.Empty):  # what else is there, where this thread or the client was slow
                while isinstance(item := arrived.get_nowait(), str):
                    text.append(item)
            yield "".join(text)
            if not isinstance(item, str):
                break
        if isinstance(item, BaseException):
            raise item
    finally:
        signal.set()
