"""Trains the tiny instruct checkpoint from the base one. OUT must hold `base/`; it gets `finetune/` and `instruct/`.

The model learns to answer in the service's chat format, in every mode. Some of the solutions that it reads state the
result without steps, as people do. In the kinds called BRISK that is the likeliest way to begin, since solutions with
steps begin there with one of several openings, each less likely by itself. So the greedy text often guesses there. Of
the samples nearly half work it out, and those agree more often than guesses do. GRPO then teaches to work it out.
What people ask first is rare in the random problems, so it is drilled, always with steps.
The same command continues a run that was stopped.
"""

from pathlib import Path

from deepseek_math.training.generator import KINDS
from deepseek_math.training.rows import Drill, Finetuning, Rows
from deepseek_math.training.run_folder import require_replaceable
from deepseek_math.training.stage import Family
from deepseek_math.training.tiny_model import load, write
from deepseek_math.training.trainer import train

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
    """The folder of the instruct checkpoint. Raises ServiceError, also where `out/base` is missing."""
    require_replaceable(out / "instruct", out / "finetune")
    model, tokenizer = load(out / "base")
    stage = family.finetune
    rows = Rows(Finetuning(WORKED, BRISK, DRILLS), tokenizer, stage.seed + 1000, stage.blocks)
    train(model, rows, stage, out / "finetune")
    write(model, tokenizer, out / "instruct", template=True)
    return out / "instruct"
