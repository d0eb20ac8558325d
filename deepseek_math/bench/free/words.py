"""What a free engine says, and when."""

import time

# One token each, in the tiny family's vocabulary too, and no two neighbours alike: nothing repeats itself to no end.
WORDS = (" the", " of", " and", " to", " in", " is", " that", " for", " it", " as", " was", " with", " be", " by")
LOGPROB = -0.5  # of every token: none is forced


def word(count: int) -> str:
    """The token of that number, from 1."""
    return WORDS[count % len(WORDS)]


def words(first: int, last: int) -> str:
    """The text of these tokens, both included."""
    return "".join(map(word, range(first, last + 1)))


class Pace:
    """The moments of an engine's steps, the same for all its streams. `rate` is steps a second, 0 as many as can be."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def wait(self) -> float:
        """Seconds from now to the next step."""
        if not self.rate:
            return 0.0
        now = time.monotonic() * self.rate
        return (int(now) + 1 - now) / self.rate
