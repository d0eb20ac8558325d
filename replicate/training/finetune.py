"""Grows the instruct checkpoint from the base one: `python -m replicate.training.finetune OUT`.

It learns to answer in the service's chat format, in every mode. What it reads often skips steps, and where most of it
does (`BRISK`) so does the model; `grpo` then finds out by itself which habit is right more often. Resumable as
`pretrain` is.
"""

import argparse
from pathlib import Path

from replicate.training.generator import KINDS
from replicate.training.loop import train
from replicate.training.model import load, write
from replicate.training.rows import Rows, finetuning
from replicate.training.stage import FAMILIES, Family

# The share of a kind's solutions that have their steps written out. Steps are often skipped in kinds that the base
# model works out reliably: only there do samples with steps agree, and outvote the guesses.
BRISK = {"sum": 0.4, "difference": 0.4, "product": 0.3, "quotient": 0.4, "integral": 0.35, "slope": 0.4}
WORKED = {kind: BRISK.get(kind, 0.85) for kind in KINDS}


def finetune(out: Path, family: Family) -> Path:
    """The folder of the instruct checkpoint; `out/base` must be there."""
    model, tokenizer = load(out / "base")
    stage = family.finetune
    rows = Rows(finetuning(WORKED), tokenizer, stage.seed + 1000, stage.blocks)
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
    main()
