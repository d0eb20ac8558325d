"""From samples to figures: each is worked out in every round, and the median over the rounds is what counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from statistics import median
from typing import Any

from deepseek_math.bench.loads import OTHERS, Load, Sample
from deepseek_math.bench.processes import QUIET

PACE = 192  # tokens a second, 16 streams of 12: a pace at which the share of a core outside the engine is given too
NEWCOMER = "newcomer"  # the name of the load of new requests while others are at work


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all are at or below (nearest rank). None where there are none."""
    if not values:
        return None
    rank = max(1, ceil(share * len(values)))
    return sorted(values)[rank - 1]


def _first(share: float) -> Callable[[Sample], float | None]:
    return lambda sample: percentile(sample.first + sample.waited, share)


def _outside_percent(sample: Sample) -> float | None:
    if sample.outside is None or sample.seconds == 0:
        return None
    return 100 * sample.outside / sample.seconds


def _outside_percent_at_pace(sample: Sample) -> float | None:
    if sample.outside is None or sample.tokens == 0:
        return None
    return 100 * PACE * sample.outside / sample.tokens


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    of: Callable[[Sample], float | None]
    form: str  # format specification
    waits: bool = False  # a time to a first text, for which some may have waited in vain
    of_newcomers: bool = False


FIGURES: Mapping[str, Figure] = {
    "tokens_per_second": Figure("tokens/s", lambda sample: sample.speed, ".1f"),
    "first_p50": Figure("first p50, s", _first(0.5), ".3f", waits=True, of_newcomers=True),
    "first_p95": Figure("first p95, s", _first(0.95), ".3f", waits=True, of_newcomers=True),
    "gap_p99": Figure("gap p99, s", lambda sample: percentile(sample.gaps, 0.99), ".3f"),
    "outside_share": Figure("outside, %", _outside_percent, ".1f"),
    "outside_at_192": Figure("at 192/s, %", _outside_percent_at_pace, ".1f"),
}


def figures_of(load: str) -> dict[str, Figure]:
    """The figures that this load gives."""
    if load == NEWCOMER:
        return {name: figure for name, figure in FIGURES.items() if figure.of_newcomers}
    return dict(FIGURES)


def name_of(load: Load | None) -> str:
    return str(load.streams) if load else NEWCOMER


@dataclass(frozen=True, slots=True)
class Measured:
    """A contender's samples: by load (its streams, or NEWCOMER), one for each round."""

    name: str
    start_seconds: float
    memory: int  # bytes, the most that was seen
    samples: Mapping[str, Sequence[Sample]]

    def record(self) -> dict[str, Any]:
        loads = {load: _figures(load, samples) | _doubts(samples) for load, samples in self.samples.items()}
        return {
            "start_seconds": round(self.start_seconds, 2),
            "memory_gib": round(self.memory / 2**30, 3),
            "loads": loads,
        }


def _figures(load: str, samples: Sequence[Sample]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, figure in figures_of(load).items():
        values = [value for value in map(figure.of, samples) if value is not None]
        if not values:
            continue
        found[name] = {
            "median": round(median(values), 4),
            "low": round(min(values), 4),
            "high": round(max(values), 4),
        }
        shortest_wait = min((wait for sample in samples for wait in sample.waited), default=inf)
        if figure.waits and shortest_wait <= max(values):
            found[name]["at_least"] = True
    return found


def _doubts(samples: Sequence[Sample]) -> dict[str, int]:
    """In how many rounds a load was not what its name says; only where there are any."""
    rounds = {
        "busy_rounds": sum(sample.busy > QUIET for sample in samples),
        "fewer_others_rounds": sum(_too_few_others(sample) for sample in samples),
    }
    return {name: count for name, count in rounds.items() if count}


def _too_few_others(sample: Sample) -> bool:
    return sample.others_at_work is not None and sample.others_at_work < OTHERS


def ratios(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The first contender against each other one: its tokens a second over theirs, and their wait over its own."""
    first, *others = records
    return {other: _ratios(records[first]["loads"], records[other]["loads"]) for other in others}


def _ratios(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for load in sorted(mine.keys() & theirs.keys(), key=_by_streams):
        figure = "first_p50" if load == NEWCOMER else "tokens_per_second"
        a, b = _median(mine[load], figure), _median(theirs[load], figure)
        if a and b:
            found[load] = round(1 / (a / b) if load == NEWCOMER else a / b, 3)
    return found


def _median(figures: Mapping[str, Any], name: str) -> float | None:
    return figures[name]["median"] if name in figures else None


def _by_streams(load: str) -> tuple[bool, str]:
    """The order of loads: by their number of streams, newcomers last."""
    return load == NEWCOMER, load.zfill(4)
