"""Endless training rows, each a pure function of the seed and its step, so that a run can stop and go on anywhere."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer

from deepseek_math.training.documents import OPENINGS, Mode, conversation, document
from deepseek_math.training.generator import draw, pick
from deepseek_math.training.vocabulary import BOS, EOS

IGNORED = -100  # what torch's cross entropy leaves out
MISSES = 4  # pieces that fit nowhere before a batch is full
Piece = tuple[list[int], int]  # ids with BOS and EOS, and how many at the start are only read
Source = Callable[[Random, Tokenizer], Piece]


def pretraining(random: Random, tokenizer: Tokenizer) -> Piece:
    """A document, every token of which is learnt."""
    return piece_of("", document(random), tokenizer)


@dataclass(frozen=True, slots=True)
class Drill:
    """Problems of a kind that chance brings too seldom, always worked in steps. share: of all conversations."""

    kind: str
    among: Callable[..., bool]  # of the problem's parameters
    share: float


@dataclass(frozen=True, slots=True)
class Finetuning:
    """Conversations in all modes, drills among them.

    worked: for each kind the share of the solutions, drills aside, that have their steps written out. The rest states
    results at once: true as well, but a model can't learn to guess them. opened: kinds whose steps begin with a line
    that says so.
    """

    worked: Mapping[str, float]
    opened: Collection[str]
    drills: tuple[Drill, ...] = ()

    def __call__(self, random: Random, tokenizer: Tokenizer) -> Piece:
        mode: Mode = random.choices(("cot", "chat", "tool"), (0.55, 0.2, 0.25))[0]
        shares = [drill.share for drill in self.drills]
        drill = random.choices((*self.drills, None), (*shares, 1 - sum(shares)))[0]
        kind = drill.kind if drill else pick(random)
        steps = drill is not None or random.random() < self.worked[kind]
        problem = draw(random, held=False, worked=steps, kind=kind, among=drill.among if drill else None)
        opens = mode != "tool" and steps and kind in self.opened
        opening = random.choice(OPENINGS[problem.language]) if opens else None
        talk = conversation(problem, mode, opening)
        return piece_of(talk.prompt, talk.completion, tokenizer)


Block = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Rows(torch.utils.data.Dataset[list[Block]]):
    """Item `step` is that step's batch: for each of the stage's blocks ids and targets, each (rows, length)."""

    source: Source
    tokenizer: Tokenizer
    seed: int
    blocks: tuple[tuple[int, int], ...]

    def __getitem__(self, step: int) -> list[Block]:
        """Whole pieces side by side, each put into the first row that has room."""
        random = Random(f"{self.seed} {step}")
        filled = [(torch.full(shape, 0), torch.full(shape, IGNORED)) for shape in self.blocks]
        room = [[length] * rows for rows, length in self.blocks]
        misses = 0
        while misses < MISSES:
            piece, read = self.source(random, self.tokenizer)
            place = self._place(len(piece), room)
            if place is None:
                misses += 1
                continue
            block, row = place
            ids, targets = filled[block]
            start = self.blocks[block][1] - room[block][row]
            end = start + len(piece)
            ids[row, start:end] = torch.tensor(piece)
            targets[row, start + read : end] = ids[row, start + read : end]
            room[block][row] -= len(piece)
        return filled

    def _place(self, length: int, room: list[list[int]]) -> tuple[int, int] | None:
        """The first row with room, in the first block whose rows are long enough; later blocks are for longer texts."""
        block = next((place for place, (_, most) in enumerate(self.blocks) if length <= most), None)
        if block is None:
            return None
        row = next((row for row, left in enumerate(room[block]) if left >= length), None)
        return None if row is None else (block, row)


def piece_of(read: str, written: str, tokenizer: Tokenizer) -> Piece:
    """The reader's part and the writer's part are tokenised apart, as they are when the service generates."""
    bos, eos = (tokenizer.encode(name, add_special_tokens=False).ids for name in (BOS, EOS))
    before = [*bos, *tokenizer.encode(read, add_special_tokens=False).ids]
    after = [*tokenizer.encode(written, add_special_tokens=False).ids, *eos]
    return before + after, len(before)
