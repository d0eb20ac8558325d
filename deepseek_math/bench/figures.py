"""From samples to figures: each is worked out in every round, and the median over the rounds is what is reported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from statistics import median
from typing import Any

from deepseek_math.bench.loads import BESIDE, LOADS, Load, Sample
from deepseek_math.bench.processes import QUIET

SHARE_AT = 192  # tokens a second of 16 streams at 12 each, a pace at which the share of a core is given too
NEWCOMER = "newcomer"  # the name of the load of new requests beside others


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    of: Callable[[Sample], float | None]
    form: str  # format specification
    waits: bool = False  # a time to a first text, which some may have waited for in vain
    newcomer: bool = False  # also of the newcomers


FIGURES: Mapping[str, Figure] = {
    "tokens_per_second": Figure("tokens/s", lambda sample: sample.speed, ".1f"),
    "first_p50": Figure(
        "first p50, s", lambda sample: percentile(sample.first + sample.waited, 0.5), ".3f", True, True
    ),
    "first_p95": Figure(
        "first p95, s", lambda sample: percentile(sample.first + sample.waited, 0.95), ".3f", True, True
    ),
    "gap_p99": Figure("gap p99, s", lambda sample: percentile(sample.gaps, 0.99), ".3f"),
    "outside_share": Figure("outside, %", lambda sample: _share(sample.outside, sample.seconds, 100), ".1f"),
    "outside_at_192": Figure(
        "at 192/s, %", lambda sample: _share(sample.outside, sample.tokens, 100 * SHARE_AT), ".1f"
    ),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A contender's samples: by load (its streams, or NEWCOMER), one for each round."""

    name: str
    start_seconds: float
    memory: int  # bytes, the most that was seen
    samples: Mapping[str, Sequence[Sample]]

    def record(self) -> dict[str, Any]:
        loads = {load: _figures(load, samples) | _doubts(samples) for load, samples in self.samples.items()}
        start, memory = round(self.start_seconds, 2), round(self.memory / 2**30, 3)
        return {"start_seconds": start, "memory_gib": memory, "loads": loads}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all are at or below (nearest rank); None where there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def _share(seconds: float | None, by: float, scale: float) -> float | None:
    return None if seconds is None or not by else scale * seconds / by


def _figures(load: str, samples: Sequence[Sample]) -> dict[str, Any]:
    found = {}
    for name, figure in FIGURES.items():
        values = [value for sample in samples if (value := figure.of(sample)) is not None]
        if values and (figure.newcomer or load != NEWCOMER):
            found[name] = {key: round(of(values), 4) for key, of in (("median", median), ("low", min), ("high", max))}
            if figure.waits and any(min(sample.waited, default=inf) <= max(values) for sample in samples):
                found[name]["at_least"] = True
    return found


def _doubts(samples: Sequence[Sample]) -> dict[str, int]:
    """Rounds in which a load was not what it is called."""
    restless = sum(sample.restless > QUIET for sample in samples)
    alone = sum(sample.beside is not None and sample.beside < BESIDE for sample in samples)
    return {name: rounds for name, rounds in (("restless_rounds", restless), ("fewer_beside_rounds", alone)) if rounds}


def name_of(load: Load | None) -> str:
    return str(load.streams) if load else NEWCOMER


def ratios(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The first contender against each other one: its tokens a second over theirs, and their wait over its."""
    first, *others = records
    return {other: _against(records[first]["loads"], records[other]["loads"]) for other in others}


def _against(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for load in mine.keys() & theirs.keys():
        name = "first_p50" if load == NEWCOMER else "tokens_per_second"
        if (a := mine[load].get(name)) and (b := theirs[load].get(name)) and a["median"] and b["median"]:
            ratio = a["median"] / b["median"]
            found[load] = round(1 / ratio if load == NEWCOMER else ratio, 3)
    return dict(sorted(found.items(), key=lambda item: (item[0] == NEWCOMER, item[0].zfill(4))))


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """For people: a block for each load, a line for each contender."""
    width = max(map(len, records))
    lines = []
    for load in [*(str(load.streams) for load in LOADS), NEWCOMER]:
        shown = {name: figure for name, figure in FIGURES.items() if figure.newcomer or load != NEWCOMER}
        title = f"new, beside {BESIDE}" if load == NEWCOMER else f"{load} stream{'s' * (load != '1')}"
        lines += ["", f"{title:{width}}" + "".join(f"{figure.title:>15}" for figure in shown.values())]
        for name, record in records.items():
            cells = [_cell(record["loads"].get(load, {}).get(key), figure) for key, figure in shown.items()]
            lines.append(f"{name:{width}}" + "".join(f"{cell:>15}" for cell in cells))
    lines += ["", f"{'':{width}}{'start, s':>15}{'memory, GiB':>15}"]
    for name, record in records.items():
        lines.append(f"{name:{width}}{record['start_seconds']:>15.1f}{record['memory_gib']:>15.2f}")
    return "\n".join([*lines[1:], *_marks(records)])


def _marks(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    marks = []
    for name, record in records.items():
        for load, found in record["loads"].items():
            if rounds := found.get("restless_rounds"):
                marks.append(f"! {name}, {load}: the servers were not idle before it in rounds: {rounds}")
            if rounds := found.get("fewer_beside_rounds"):
                marks.append(f"! {name}, {load}: fewer than {BESIDE} were still at work beside it in rounds: {rounds}")
    return ["", *marks] if marks else []


def _cell(found: Mapping[str, Any] | None, figure: Figure) -> str:
    return "-" if found is None else f"{'>' * found.get('at_least', False)}{found['median']:{figure.form}}"


def comparison(found: Mapping[str, Mapping[str, float]]) -> str:
    lines = []
    for other, loads in found.items():
        speeds = [f"{ratio:.2f} at {load}" for load, ratio in loads.items() if load != NEWCOMER]
        wait = f"; a newcomer's wait: {loads[NEWCOMER]:.2f} times as short" if NEWCOMER in loads else ""
        lines.append(f"times the tokens a second of {other}: {', '.join(speeds)}{wait}")
    return "\n".join(lines)
