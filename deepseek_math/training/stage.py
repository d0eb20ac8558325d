"""The sizes of the model and of each stage, as data: "tiny" for the committed family, "toy" for the tests.

Published settings (DeepSeekMath, arXiv 2402.03300, sections 2.2, 3.1 and 4.2) and what they became here:
- pre-training: AdamW 0.9/0.95, weight decay 0.1, clip 1.0; the learning rate falls to 31.6 % at 80 % and to 10 % at
  90 % of the steps; peak 4.2e-4 for 7B parameters, larger for a model two thousand times smaller.
- fine-tuning: batch 256, 500 steps, constant 5e-5; here the rate falls (`FALLS`), which makes the kinds of problem
  whose steps are seldom skipped right more often (measured once).
- GRPO: 64 outputs a question, learning rate 1e-6, KL coefficient 0.04, 1024 tokens, batch 1024, one update a batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The model: Llama's architecture with tied embeddings, heads of 64."""

    vocabulary: int
    width: int
    inner: int
    layers: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A run over packed rows of tokens.

    blocks: (rows, length) of the parts of a step's batch. A text goes into the first part whose rows are long enough,
    so the few long texts do not make every row long. falls: (share of the steps, factor of the learning rate after it).
    """

    steps: int
    blocks: tuple[tuple[int, int], ...]
    rate: float
    warmup: int
    falls: tuple[tuple[float, float], ...] = ()
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Family:
    shape: Shape
    pretrain: Stage
    finetune: Stage


BLOCKS = ((32, 256), (1, 640))
PUBLISHED_FALLS = ((0.8, 0.316), (0.9, 0.1))
FALLS = ((0.6, 0.316), (0.8, 0.1))
FAMILIES: Mapping[str, Family] = {
    "tiny": Family(
        Shape(1280, 256, 768, 4),
        Stage(4000, BLOCKS, 2e-3, 200, PUBLISHED_FALLS),
        Stage(600, BLOCKS, 5e-4, 20, FALLS),
    ),
    "toy": Family(
        Shape(640, 64, 128, 1),
        Stage(40, ((8, 256),), 5e-3, 5, PUBLISHED_FALLS),
        Stage(20, ((8, 256),), 5e-3, 2),
    ),
}
