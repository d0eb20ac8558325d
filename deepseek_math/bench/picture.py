"""The picture of a comparison: tokens a second and time to first text, contender by contender."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseek_math.bench.figures import NEWCOMER
from deepseek_math.bench.loads import LOADS, OTHERS

COLOURS = ("#1f4e79", "#c55a11", "#548235", "#7f6000")
GROUP_WIDTH = 0.8  # of all bars of one load
NOTHING = {"median": 0.0, "low": 0.0, "high": 0.0}


def draw(records: Mapping[str, Mapping[str, Any]], title: str, file: Path) -> None:
    """Bars are medians over the rounds, whiskers the lowest and highest round."""
    import matplotlib  # not above: `dsm bench --help` needs none

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    streams = [str(load.streams) for load in LOADS]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(3, 4), layout="constrained")
    _bars(left, records, "tokens_per_second", streams, "{:.0f}")
    _bars(right, records, "first_p50", [*streams, NEWCOMER], "{:.2f}")
    left.set(xticks=range(len(streams)), xticklabels=streams, xlabel="streams", ylabel="tokens a second")
    labels = [*streams, f"new one\nbeside {OTHERS}"]
    right.set(xticks=range(len(labels)), xticklabels=labels, xlabel="streams", ylabel="seconds to the first text, p50")
    right.set_yscale("log")
    left.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _bars(axes: Any, records: Mapping[str, Mapping[str, Any]], key: str, loads: Sequence[str], form: str) -> None:
    """A group of bars for each load, with a bar for each contender."""
    width = GROUP_WIDTH / len(records)
    for number, (name, record) in enumerate(records.items()):
        found = [record["loads"][load].get(key) for load in loads]
        shown = [figure or NOTHING for figure in found]
        shift = (number - (len(records) - 1) / 2) * width
        at = [index + shift for index in range(len(loads))]
        heights = [figure["median"] for figure in shown]
        down = [figure["median"] - figure["low"] for figure in shown]
        up = [figure["high"] - figure["median"] for figure in shown]
        bars = axes.bar(at, heights, width, color=COLOURS[number % len(COLOURS)], label=name)
        axes.errorbar(at, heights, [down, up], fmt="none", ecolor="black", capsize=2, lw=0.8)
        axes.bar_label(bars, [_label(figure, form) for figure in found], fontsize=7, padding=3)


def _label(figure: Mapping[str, Any] | None, form: str) -> str:
    if figure is None:
        return "-"
    mark = ">" if figure.get("at_least") else ""
    return mark + form.format(figure["median"])
