"""The comparison as text for people: a block for each load with a line for each contender."""

from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_math.bench.figures import NEWCOMER, Figure, figures_of
from deepseek_math.bench.loads import LOADS, OTHERS

Records = Mapping[str, Mapping[str, Any]]  # by the contender's name, as Measured.record() makes them


def table(records: Records) -> str:
    width = max(map(len, records))
    lines: list[str] = []
    for load in [*(str(load.streams) for load in LOADS), NEWCOMER]:
        lines += [*_block(load, records, width), ""]
    lines += _costs(records, width)
    doubts = list(_doubts(records))
    if doubts:
        lines += ["", *doubts]
    return "\n".join(lines)


def _block(load: str, records: Records, width: int) -> Iterator[str]:
    figures = figures_of(load)
    titles = [f"{figure.title:>15}" for figure in figures.values()]
    yield f"{_title(load):{width}}{''.join(titles)}"
    for name, record in records.items():
        found = record["loads"].get(load, {})
        cells = [f"{_cell(found.get(key), figure):>15}" for key, figure in figures.items()]
        yield f"{name:{width}}{''.join(cells)}"


def _title(load: str) -> str:
    if load == NEWCOMER:
        return f"new, beside {OTHERS}"
    return "1 stream" if load == "1" else f"{load} streams"


def _cell(found: Mapping[str, Any] | None, figure: Figure) -> str:
    if found is None:
        return "-"
    mark = ">" if found.get("at_least") else ""
    return f"{mark}{found['median']:{figure.form}}"


def _costs(records: Records, width: int) -> Iterator[str]:
    yield f"{'':{width}}{'start, s':>15}{'memory, GiB':>15}"
    for name, record in records.items():
        yield f"{name:{width}}{record['start_seconds']:>15.1f}{record['memory_gib']:>15.2f}"


def _doubts(records: Records) -> Iterator[str]:
    for name, record in records.items():
        for load, found in record["loads"].items():
            if "busy_rounds" in found:
                yield f"! {name}, {load}: the servers were not idle before it in rounds: {found['busy_rounds']}"
            if "fewer_others_rounds" in found:
                rounds = found["fewer_others_rounds"]
                yield f"! {name}, {load}: fewer than {OTHERS} others were still at work in rounds: {rounds}"


def comparison(ratios: Mapping[str, Mapping[str, float]]) -> str:
    """What `figures.ratios` found, a line for each other contender."""
    lines = []
    for other, loads in ratios.items():
        speeds = ", ".join(f"{ratio:.2f} at {load}" for load, ratio in loads.items() if load != NEWCOMER)
        line = f"times the tokens a second of {other}: {speeds}"
        if NEWCOMER in loads:
            line += f"; a newcomer's wait: {loads[NEWCOMER]:.2f} times as short"
        lines.append(line)
    return "\n".join(lines)
