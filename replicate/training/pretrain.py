"""Grows the base checkpoint from nothing: `python -m replicate.training.pretrain OUT`.

Run it again after a stop and it goes on. OUT gets `pretrain/` (tokenizer, state, log) and at the end `base/`.
"""

import argparse
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from replicate.training.command import plainly
from replicate.training.documents import Mode, conversation, document
from replicate.training.generator import draw
from replicate.training.loop import train
from replicate.training.model import fresh, write
from replicate.training.rows import Rows, pretraining
from replicate.training.run import claim
from replicate.training.stage import FAMILIES, Family
from replicate.training.vocabulary import grow, save

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
