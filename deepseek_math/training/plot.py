"""Draws the family's picture from its logs: `python -m deepseek_math.training.plot LOGS PICTURE`.

Left: reward, KL divergence and held-out accuracy of GRPO against its steps. Right: the accuracy of each member.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from deepseek_math.training.faults import plainly
from deepseek_math.training.log import lines

BARS: Mapping[tuple[str, str], str] = {
    ("base", "raw"): "base",
    ("instruct", "cot"): "instruct",
    ("instruct", "vote"): "instruct\nvote of 16",
    ("rl", "cot"): "RL",
    ("rl", "vote"): "RL\nvote of 16",
    ("rl", "tool"): "RL\nprograms",
}
WINDOW = 10  # steps that the reward's line is the mean of
INK, SECOND, THIRD = "#1f4e79", "#c55a11", "#548235"


def draw(logs: Path, picture: Path) -> None:
    """Reads `logs/grpo.jsonl` and `logs/accuracy.jsonl` and writes `picture`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=(4, 3), layout="constrained")
    _curves(left, lines(logs / "grpo.jsonl"))
    _bars(right, lines(logs / "accuracy.jsonl"))
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _curves(axes: Any, log: Sequence[Mapping[str, Any]]) -> None:
    steps = [(line["step"], line["reward"]) for line in log if "reward" in line]
    means = [
        sum(reward for _, reward in steps[max(0, i - WINDOW + 1) : i + 1]) / min(i + 1, WINDOW)
        for i in range(len(steps))
    ]
    held = [(line["step"], line["held"]) for line in log if "held" in line]
    kl = [(line["step"], line["kl"]) for line in log if "kl" in line]
    axes.plot([step for step, _ in steps], means, color=INK, label=f"reward, mean of {WINDOW}")
    axes.plot(*zip(*held, strict=True), "o-", color=SECOND, label="held-out accuracy, greedy") if held else None
    axes.set(xlabel="GRPO step", ylim=(0, 1), title="Reinforcement learning")
    axes.grid(alpha=0.3)
    other = axes.twinx()
    other.plot(*zip(*kl, strict=True), color=THIRD, lw=0.8, label="KL divergence, nats a token") if kl else None
    other.set_ylim(bottom=0)
    handles = [axes.get_legend_handles_labels(), other.get_legend_handles_labels()]
    axes.legend(
        handles[0][0] + handles[1][0],
        handles[0][1] + handles[1][1],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=3,
        fontsize=8,
    )


def _bars(axes: Any, results: Sequence[Mapping[str, Any]]) -> None:
    latest = {(line["checkpoint"], line["mode"]): line for line in results}
    shown = [(label, latest[name]) for name, label in BARS.items() if name in latest]
    values = [100 * line["right"] / line["count"] for _, line in shown]
    bars = axes.bar([label for label, _ in shown], values, color=INK)
    axes.bar_label(bars, [f"{value:.1f}" for value in values], fontsize=9)
    count = max((line["count"] for _, line in shown), default=0)
    axes.set(ylim=(0, 105), ylabel="right, %", title=f"{count} held-out problems")
    axes.tick_params(axis="x", labelsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    draw(arguments.logs, arguments.picture)


if __name__ == "__main__":
    with plainly():
        main()
