"""The vote over the answers of several completions: which answer leads, and when no further one is needed.

    >>> vote = Vote(samples=8, sure=1.0, same=judge().equivalent)
    >>> await vote.add(0, "0.5")
    >>> await vote.add(3, r"\\frac{1}{2}")
    >>> vote.groups
    [Group(answer='0.5', samples=[0, 3])]

Majority voting is self-consistency (Wang et al. 2023, arXiv 2203.11171). An answer joins the first group whose first
answer it is equivalent to; a completion without an answer abstains. Nothing here draws, waits for or ends a sample.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import comb

Same = Callable[[str, str], Awaitable[bool]]


@dataclass(slots=True)
class Group:
    """Samples whose answers are equivalent."""

    answer: str  # of the first of them
    samples: list[int] = field(default_factory=list)  # in the order they were counted


class Vote:
    """Counts answers in the order they come. `groups` are in order: most votes first, then who had them first."""

    def __init__(self, samples: int, sure: float, same: Same) -> None:
        """`samples` may vote; from a probability of `sure` on (1 = never) a lead is taken for a victory."""
        self.samples = samples
        self.counted = 0  # abstentions too
        self.groups: list[Group] = []
        self.silent: list[int] = []  # samples without an answer, in the order they were counted
        self._sure = sure
        self._same = same

    @property
    def leader(self) -> Group | None:
        return self.groups[0] if self.groups else None

    @property
    def decided(self) -> bool:
        """Whether the vote may stop here.

        The exact rule: whoever is second can't get more votes than the leader any more (with as many, the leader had
        them first), nor can an answer that has not been given yet.
        """
        first, second = ([len(group.samples) for group in self.groups] + [0, 0])[:2]
        if second + self.samples - self.counted <= first:
            return True
        return self._sure < 1 and first > second and probability_ahead(first, second) >= self._sure

    async def add(self, sample: int, answer: str | None) -> None:
        """Counts one finished sample; `answer` None is an abstention. Call it for one sample at a time."""
        if answer is None:
            self.counted += 1
            self.silent.append(sample)
            return
        group = await self._group(answer)
        self.counted += 1
        group.samples.append(sample)
        if group in self.groups:
            self.groups.remove(group)
        votes = len(group.samples)
        position = 0
        while position < len(self.groups) and len(self.groups[position].samples) >= votes:
            position += 1
        self.groups.insert(position, group)

    async def _group(self, answer: str) -> Group:
        for group in self.groups:
            if await self._same(group.answer, answer):
                return group
        return Group(answer)

    def tally(self) -> list[dict[str, str | int]]:
        """Answers and their votes, in order."""
        return [{"answer": group.answer, "count": len(group.samples)} for group in self.groups]


def probability_ahead(first: int, second: int) -> float:
    """The probability that the leading answer of two, with these votes so far, is the likelier one of the two.

    The Beta rule of Adaptive-Consistency (Aggarwal et al. 2023, "Let's Sample Step by Step", arXiv 2305.11860): from
    a uniform prior the leader's share is Beta(first + 1, second + 1), and this is its probability of being over 1/2.
    For whole numbers that is a binomial tail: sum of C(n, j) for j = 0..first, over 2^n, where n = first + second + 1.
    """
    n = first + second + 1
    return float(sum(comb(n, j) for j in range(first + 1)) / 2**n)
