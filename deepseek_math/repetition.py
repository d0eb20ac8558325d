"""Texts that repeat themselves: how one ends, and when a completion will never do anything else."""

from dataclasses import dataclass
from math import log

from deepseek_math.answers.extraction import MAX_PHRASE, extract
from deepseek_math.completion import Completion
from deepseek_math.fences import FENCE
from deepseek_math.sampling import Sampling

TIMES = 3  # so many whole periods at the end are a repetition
SHORTEST = 20  # characters of the repeated end: "1000000" and "0.3333" are none

FORCED_TIMES = 4  # whole periods in which no other token could be drawn
LONGEST = 200  # characters of such a period
LOOK_TOKENS = 16  # between two looks


@dataclass(frozen=True, slots=True)
class Repetition:
    """The end of a text: one period of `length` characters, `count` times, whatever stands before it."""

    length: int
    count: int


def repetition(text: str) -> Repetition | None:
    """The shortest period that the text ends in TIMES times or more, blanks at its very end aside."""
    return _at_end(text) or _at_end(text.rstrip())


def _at_end(text: str) -> Repetition | None:
    """By the prefix function of Knuth, Morris and Pratt (1977) over the text read backwards: its first `n` characters
    have the shortest period `n - border`, which never shrinks as `n` grows."""
    backwards = text[::-1]
    borders = [0]
    found: Repetition | None = None
    for size, letter in enumerate(backwards[1:], 2):
        border = borders[-1]
        while border and backwards[border] != letter:
            border = borders[border - 1]
        borders.append(border + (backwards[border] == letter))
        period = size - borders[-1]
        is_longer = found is None or period == found.length
        if is_longer and size >= max(TIMES * period, SHORTEST):
            found = Repetition(period, size // period)
    return found


class EndlessWatch:
    """Says when a sample of a vote repeats itself to no end, and its answer is settled.

    In the last FORCED_TIMES whole periods nothing else could be drawn: every token was so likely that top_p left it
    alone. (Likelihoods are those before temperature; one of at most 1 only raises that of the likeliest token.) And
    wherever in a later period its limit cuts it, it has the same answer. An engine that tells no likelihoods has no
    endless samples.
    """

    def __init__(self, completion: Completion, sampling: Sampling) -> None:
        self._completion = completion
        self._least = log(sampling.top_p)
        self._watching = sampling.top_p < 1 and 0 < sampling.temperature <= 1
        self._seen = 0  # log-probabilities looked at
        self._free = 0  # characters up to the last token that was not forced
        self._looked = 0  # tokens at the last look

    def ends(self) -> bool:
        """Call it after each piece of the completion."""
        if not self._watching:
            return False
        completion = self._completion
        new = completion.logprobs[self._seen :]
        self._seen = len(completion.logprobs)
        if not new or min(new) < self._least:
            self._free = len(completion.text)
        forced = completion.text[self._free :]
        if len(forced) <= MAX_PHRASE or completion.tokens < self._looked + LOOK_TOKENS:
            return False
        self._looked = completion.tokens
        found = repetition(forced[-FORCED_TIMES * LONGEST :])
        # A claim of an answer that began before the repetition is over once that is longer than MAX_PHRASE.
        if found is None or found.count < FORCED_TIMES or found.length * found.count <= MAX_PHRASE:
            return False
        self._watching = False  # whatever comes of it, a second look would say the same
        return found.length <= LONGEST and _is_settled(forced[-found.length :])


def _is_settled(period: str) -> bool:
    """Whether a text that ends in these periods has the same answer wherever the next one is cut.

    What stands before them can't change that: a period that closes no brace and no block of its own closes none at all.
    """
    if FENCE in period * 2 or period.count("{") != period.count("}"):
        return False
    said = {extract(period * TIMES + period[:cut]).text for cut in range(len(period))}
    return len(said) == 1
