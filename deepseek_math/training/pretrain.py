"""Trains the tiny base checkpoint from nothing. OUT gets `pretrain/` (tokenizer, state, log) and at the end `base/`.

The same command continues a run that was stopped.
"""

from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from deepseek_math.training.documents import Mode, conversation, document
from deepseek_math.training.generator import draw
from deepseek_math.training.rows import Rows, pretraining
from deepseek_math.training.run_folder import require_replaceable
from deepseek_math.training.stage import Family
from deepseek_math.training.tiny_model import fresh, write
from deepseek_math.training.trainer import train
from deepseek_math.training.vocabulary import grow, save

TEXTS = 12_000  # that the vocabulary is learnt from


def pretrain(out: Path, family: Family, texts: int = TEXTS) -> Path:
    """The folder of the base checkpoint. Raises ServiceError."""
    require_replaceable(out / "base", out / "pretrain")
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
        learnt = grow((_text(random) for _ in range(texts)), family.shape.vocabulary)
        save(learnt, folder, template=False)
    return Tokenizer.from_file(str(path))


def _text(random: Random) -> str:
    if random.random() < 0.7:
        return document(random)
    mode: Mode = random.choice(("chat", "cot", "tool"))
    talk = conversation(draw(random, held=False), mode)
    return talk.prompt + talk.completion
