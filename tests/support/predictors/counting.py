"""A Predictor for the tests of `deepseek_math.cog.live`: it counts, at a given pace, and notes how it ended."""

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming

from deepseek_math.cog import live

live.install()


class Predictor(BasePredictor):
    async def setup(self) -> None:
        self.notes = Path(os.environ["NOTES"])

    @streaming
    @concurrent(max=16)
    async def predict(
        self,
        name: str = Input(description="Stands in every chunk."),
        chunks: int = Input(description="How many.", default=10),
        pause: float = Input(description="Seconds before each chunk.", default=0.05),
        fail_at: int = Input(description="The chunk that raises; -1 for none.", default=-1),
        cleanup: float = Input(description="Seconds that the cleanup takes.", default=0.0),
        late_start: float = Input(description="Seconds before the stream exists.", default=0.0),
        loses_a_cancel: bool = Input(description="Whether the first cancel is not heard.", default=False),
    ) -> ConcatenateIterator[str]:
        try:
            await asyncio.sleep(late_start)
        except asyncio.CancelledError:
            self.note(name, "stopped before the stream")
            raise
        if loses_a_cancel:
            lose_the_first_cancel()
        return live.stream(self.count(name, int(chunks), pause, int(fail_at), cleanup))

    async def count(
        self, name: str, chunks: int, pause: float, fail_at: int, cleanup: float
    ) -> AsyncGenerator[str, None]:
        sent = 0
        try:
            for sent in range(chunks):
                await asyncio.sleep(pause)
                if sent == fail_at:
                    raise RuntimeError(f"{name} broke")
                yield f"{name}{sent};"
            self.note(name, "finished")
        except asyncio.CancelledError:
            self.note(name, "stopped")
            await asyncio.sleep(cleanup)
            self.note(name, "cleaned up")
            raise
        finally:
            print(f"log of {name}")
            self.record_metric("sent", sent)

    def note(self, name: str, what: str) -> None:
        with self.notes.open("a") as notes:
            notes.write(json.dumps({"name": name, "what": what, "at": time.time()}) + "\n")


def lose_the_first_cancel() -> None:
    """As coglet does with one that comes before its worker has begun the prediction."""
    signal = live._signal.get()
    assert signal is not None
    hear, cancels = signal.set, itertools.count(1)
    signal.set = lambda: hear() if next(cancels) > 1 else None  # type: ignore[method-assign]
