"""llama.cpp's slots: which are idle, and which prompt's KV cache each still holds."""

from collections.abc import Sequence
from itertools import takewhile
from operator import eq

WORTH = 0.5  # of what a slot holds, the least that must be of use for a request to be put there


class Slots:
    """Hands out idle slots, the one that helps most first: a conversation goes on where it was held."""

    def __init__(self, count: int) -> None:
        self._idle: dict[int, tuple[int, ...]] = dict.fromkeys(range(count), ())  # the longest idle first
        self._said: dict[int, tuple[int, ...]] = dict.fromkeys(range(count), ())  # the completions that followed

    def take(self, prompt: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """An idle slot and the prompt that it holds. Raises LookupError where none is idle."""
        if not self._idle:
            raise LookupError("no slot is idle")
        best = max(self._idle, key=lambda slot: (_use(self._idle[slot], prompt), self._goes_on(slot, prompt)))
        return best, self._idle.pop(best)

    def give_back(self, slot: int, holds: tuple[int, ...], said: Sequence[int] = ()) -> None:
        """`said` is what was generated after the prompt it `holds`."""
        self._idle[slot], self._said[slot] = holds, tuple(said)

    def _goes_on(self, slot: int, prompt: Sequence[int]) -> int:
        """Of slots that held the same prompt, the one whose completion goes on: how much of it is in `prompt`."""
        return _common(self._said[slot], prompt[len(self._idle[slot]) :])


def _use(held: tuple[int, ...], prompt: Sequence[int]) -> int:
    """How many tokens of `prompt` are held already; 0 if taking them would destroy more than they are worth."""
    common = _common(held, prompt)
    return common if common >= WORTH * len(held) else 0


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(bool, map(eq, a, b)))
