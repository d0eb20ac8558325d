"""`bench.png`: tokens a second and time to first text, contender by contender."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from deepseek_math.bench.figures import NEWCOMER
from deepseek_math.bench.loads import LOADS

COLOURS = ("#1f4e79", "#c55a11", "#548235", "#7f6000")


def draw(records: Mapping[str, Mapping[str, Any]], title: str, file: Path) -> None:
    """Bars are medians over the rounds, whiskers the lowest and highest round."""
    streams = [str(load.streams) for load in LOADS]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(3, 4), layout="constrained")
    for place, (name, record) in enumerate(records.items()):
        for axes, key, loads in ((left, "tokens_per_second", streams), (right, "first_p50", [*streams, NEWCOMER])):
            found = [record["loads"][load].get(key) for load in loads]
            width = 0.8 / len(records)
            at = [index + (place - (len(records) - 1) / 2) * width for index in range(len(loads))]
            heights = [each["median"] if each else 0.0 for each in found]
            down = [each["median"] - each["low"] if each else 0.0 for each in found]
            up = [each["high"] - each["median"] if each else 0.0 for each in found]
            bars = axes.bar(at, heights, width, color=COLOURS[place % len(COLOURS)], label=name)
            axes.errorbar(at, heights, [down, up], fmt="none", ecolor="black", capsize=2, lw=0.8)
            marks = [">" * each.get("at_least", False) if each else "-" for each in found]
            form = "{}{:.0f}" if axes is left else "{}{:.2f}"
            axes.bar_label(
                bars, [form.format(*pair) for pair in zip(marks, heights, strict=True)], fontsize=7, padding=3
            )
    left.set(xticks=range(len(streams)), xticklabels=streams, xlabel="streams", ylabel="tokens a second")
    labels = [*streams, "new one\nbeside 15"]
    right.set(xticks=range(len(labels)), xticklabels=labels, xlabel="streams", ylabel="seconds to the first text, p50")
    right.set_yscale("log")
    left.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)
