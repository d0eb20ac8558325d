"""Draws a training run's picture from its logs.

Left: reward, KL divergence and held-out accuracy of GRPO by step. Right: the accuracy of each member of the family.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from deepseek_math.training.log import Line, lines

BARS: Mapping[tuple[str, str], str] = {  # (checkpoint, mode): label
    ("base", "raw"): "base",
    ("instruct", "cot"): "instruct",
    ("instruct", "vote"): "instruct\nvote of 16",
    ("rl", "cot"): "RL",
    ("rl", "vote"): "RL\nvote of 16",
    ("rl", "tool"): "RL\nprograms",
}
WINDOW = 10  # steps over which the reward is averaged
BLUE, ORANGE, GREEN = "#1f4e79", "#c55a11", "#548235"


def draw(logs: Path, picture: Path) -> None:
    """Reads `logs/grpo.jsonl` and `logs/accuracy.jsonl` and writes `picture`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=(4, 3), layout="constrained")
    _curves(left, lines(logs / "grpo.jsonl"))
    _bars(right, lines(logs / "accuracy.jsonl"))
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _curves(axes: Any, log: Sequence[Line]) -> None:
    steps, rewards = _series(log, "reward")
    axes.plot(steps, _moving_mean(rewards), color=BLUE, label=f"reward, mean of {WINDOW}")
    steps, held = _series(log, "held")
    if held:
        axes.plot(steps, held, "o-", color=ORANGE, label="held-out accuracy, greedy")
    axes.set(xlabel="GRPO step", ylim=(0, 1), title="Reinforcement learning")
    axes.grid(alpha=0.3)
    right_axis = axes.twinx()
    steps, kl = _series(log, "kl")
    if kl:
        right_axis.plot(steps, kl, color=GREEN, lw=0.8, label="KL divergence, nats a token")
    right_axis.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    more_handles, more_labels = right_axis.get_legend_handles_labels()
    axes.legend(
        handles + more_handles,
        labels + more_labels,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=3,
        fontsize=8,
    )


def _series(log: Sequence[Line], name: str) -> tuple[list[int], list[float]]:
    """The steps that have a value of this name, and the values."""
    found = [line for line in log if name in line]
    return [line["step"] for line in found], [line[name] for line in found]


def _moving_mean(values: Sequence[float]) -> list[float]:
    """For each value the mean of it and up to WINDOW - 1 before it."""
    means = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - WINDOW) : end]
        means.append(sum(window) / len(window))
    return means


def _bars(axes: Any, results: Sequence[Line]) -> None:
    latest = {(line["checkpoint"], line["mode"]): line for line in results}
    shown = {label: latest[name] for name, label in BARS.items() if name in latest}
    percent = [100 * line["right"] / line["count"] for line in shown.values()]
    bars = axes.bar(list(shown), percent, color=BLUE)
    axes.bar_label(bars, [f"{value:.1f}" for value in percent], fontsize=9)
    count = max((line["count"] for line in shown.values()), default=0)
    axes.set(ylim=(0, 105), ylabel="right, %", title=f"{count} held-out problems")
    axes.tick_params(axis="x", labelsize=8)
