"""Grows the base checkpoint from nothing: `python -m deepseek_math.training.pretrain OUT`.

Run it again after a stop and it goes on. OUT gets `pretrain/` (tokenizer, state, log) and at the end `base/`.
"""

import argparse
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from deepseek_math.training.documents import Mode, conversation, document
from deepseek_math.training.faults import plainly
from deepseek_math.training.generator import draw
from deepseek_math.training.loop import train
from deepseek_math.training.model import fresh, write
from deepseek_math.training.rows import Rows, pretraining
from deepseek_math.training.run_folder import claim
from deepseek_math.training.stage import FAMILIES, Family
from deepseek_math.training.vocabulary import grow, save

TEXTS = 12_000  # that the vocabulary is learnt from


def pretrain(out: Path, family: Family, texts: int = TEXTS) -> Path:
    """The folder of the base checkpoint."""
    claim(out / "base", out / "pretrain")
    tokenizer = _tokenizer(out / "pretrain/tokenizer", family, texts)
    stage = family.pretrain
    model = fresh(family.shape, tokenizer, stage.seed)
    rows = Rows(pretraining, tokenizer, stage.seed, stage.blocks)
    train(model, rows, stage, out / "pretrain")
    write(model, tokenizer, out / "base", template=False)
    return out / "base"


def _tokenizer(folder: Path, family: Family, texts: int) -> Tokenizer:
    """The tokenizer of an earlier start, or a new one, learnt from documents and conversations."""
    path = folder / "tokenizer.json"
    if not path.exists():
        random = Random(family.pretrain.seed)
        save(grow((_text(random) for _ in range(texts)), family.shape.vocabulary), folder, template=False)
    return Tokenizer.from_file(str(path))


def _text(random: Random) -> str:
    if random.random() < 0.7:
        return document(random)
    mode: Mode = random.choice(("chat", "cot", "tool"))
    talk = conversation(draw(random, held=False), mode)
    return talk.prompt + talk.completion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="tiny")
    arguments = parser.parse_args()
    pretrain(arguments.out, FAMILIES[arguments.family])


if __name__ == "__main__":
    with plainly():
        main()
