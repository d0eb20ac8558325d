"""Grows the instruct checkpoint from the base one: `python -m deepseek_math.training.finetune OUT`.

It learns to answer in the service's chat format, in every mode. Some of what it reads states results without steps, as
people do; in the kinds called `BRISK` that is the likeliest of its habits, for solutions with steps begin there with
one of several openings, each less likely by itself. So its greedy text often guesses there. Of its samples nearly half
work it out, and they agree more often than guesses do. That steps are right more often, it finds out in `grpo`.
What people ask first, and chance brings seldom, is drilled, always with steps. Resumable as `pretrain` is.
"""

import argparse
from pathlib import Path

from deepseek_math.training.faults import plainly
from deepseek_math.training.generator import KINDS
from deepseek_math.training.loop import train
from deepseek_math.training.model import load, write
from deepseek_math.training.rows import Drill, Finetuning, Rows
from deepseek_math.training.run_folder import claim
from deepseek_math.training.stage import FAMILIES, Family

BRISK_STARTS = ("sum", "difference", "product", "percent_", "word_")
BRISK = {kind for kind in KINDS if kind.startswith(BRISK_STARTS)}  # kinds in which steps are often skipped
WORKED = {kind: 0.45 if kind in BRISK else 0.85 for kind in KINDS}  # share of the solutions with steps written out


def _of_one_digit(a: int, b: int) -> bool:
    return max(a, b) < 10


def _below_zero(a: int, b: int) -> bool:
    return a < b


def _in_the_table(a: int, b: int) -> bool:
    return a < 10 * b < 100  # divisor and quotient have one digit


DRILLS = (
    Drill("sum", _of_one_digit, 0.03),
    Drill("difference", _below_zero, 0.06),
    Drill("quotient", _in_the_table, 0.02),
)


def finetune(out: Path, family: Family) -> Path:
    """The folder of the instruct checkpoint; `out/base` must be there."""
    claim(out / "instruct", out / "finetune")
    model, tokenizer = load(out / "base")
    stage = family.finetune
    rows = Rows(Finetuning(WORKED, BRISK, DRILLS), tokenizer, stage.seed + 1000, stage.blocks)
    train(model, rows, stage, out / "finetune")
    write(model, tokenizer, out / "instruct", template=True)
    return out / "instruct"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="tiny")
    arguments = parser.parse_args()
    finetune(arguments.out, FAMILIES[arguments.family])


if __name__ == "__main__":
    with plainly():
        main()
