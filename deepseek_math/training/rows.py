"""Endless training rows. Each is a pure function of the seed and its step, so a run can stop and resume at any step."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer

from deepseek_math.training.documents import OPENINGS, Mode, conversation, document
from deepseek_math.training.generator import draw, pick
from deepseek_math.training.vocabulary import BOS, EOS

IGNORED = -100  # the target that torch's cross entropy leaves out
MISSES = 4  # a batch is full once so many pieces found no room
MODES: Mapping[Mode, float] = {"cot": 0.55, "chat": 0.2, "tool": 0.25}  # shares of the conversations

Piece = tuple[list[int], int]  # token ids with BOS and EOS, and how many at the start are the prompt
Source = Callable[[Random, Tokenizer], Piece]
Block = tuple[torch.Tensor, torch.Tensor]  # ids and targets, each (rows, length)


def pretraining(random: Random, tokenizer: Tokenizer) -> Piece:
    """A document. Every token of it is a target."""
    return piece_of("", document(random), tokenizer)


@dataclass(frozen=True, slots=True)
class Drill:
    """Problems of a kind that are drawn too seldom by chance, always worked in steps."""

    kind: str
    among: Callable[..., bool]  # a condition on the problem's parameters
    share: float  # of all conversations


@dataclass(frozen=True, slots=True)
class Finetuning:
    """Conversations in all modes, drills among them.

    worked: for each kind the share of the solutions, drills aside, that have their steps written out. The others state
    the result at once. That is true as well, but a model can't learn to guess it.
    opened: kinds whose steps begin with a line that announces them.
    """

    worked: Mapping[str, float]
    opened: Collection[str]
    drills: tuple[Drill, ...] = ()

    def __call__(self, random: Random, tokenizer: Tokenizer) -> Piece:
        mode: Mode = random.choices(list(MODES), list(MODES.values()))[0]
        drill = self._drill(random)
        if drill:
            worked = True
            problem = draw(random, held=False, worked=worked, kind=drill.kind, among=drill.among)
        else:
            kind = pick(random)
            worked = random.random() < self.worked[kind]
            problem = draw(random, held=False, worked=worked, kind=kind)
        opening = None
        if worked and mode != "tool" and problem.kind in self.opened:
            opening = random.choice(OPENINGS[problem.language])
        talk = conversation(problem, mode, opening)
        return piece_of(talk.prompt, talk.completion, tokenizer)

    def _drill(self, random: Random) -> Drill | None:
        shares = [drill.share for drill in self.drills]
        return random.choices((*self.drills, None), (*shares, 1 - sum(shares)))[0]


@dataclass(frozen=True, slots=True)
class Rows(torch.utils.data.Dataset[list[Block]]):
    """Item `step` is the batch of that step: one block for each (rows, length) of `blocks`."""

    source: Source
    tokenizer: Tokenizer
    seed: int
    blocks: tuple[tuple[int, int], ...]

    def __getitem__(self, step: int) -> list[Block]:
        """Whole pieces side by side, each put into the first row that has room."""
        random = Random(f"{self.seed} {step}")
        batch = [(torch.full(shape, 0), torch.full(shape, IGNORED)) for shape in self.blocks]
        room = [[length] * rows for rows, length in self.blocks]
        misses = 0
        while misses < MISSES:
            piece, prompt = self.source(random, self.tokenizer)
            found = self._find_room(len(piece), room)
            if found is None:
                misses += 1
                continue
            block, row = found
            ids, targets = batch[block]
            start = self.blocks[block][1] - room[block][row]
            end = start + len(piece)
            ids[row, start:end] = torch.tensor(piece)
            targets[row, start + prompt : end] = ids[row, start + prompt : end]
            room[block][row] -= len(piece)
        return batch

    def _find_room(self, length: int, room: list[list[int]]) -> tuple[int, int] | None:
        """The first row with room, in the first block with rows long enough: later blocks are for longer texts."""
        for block, (_, longest) in enumerate(self.blocks):
            if length <= longest:
                return _first_row(block, length, room[block])
        return None


def _first_row(block: int, length: int, room: list[int]) -> tuple[int, int] | None:
    for row, left in enumerate(room):
        if length <= left:
            return block, row
    return None


def piece_of(prompt: str, completion: str, tokenizer: Tokenizer) -> Piece:
    """Prompt and completion are tokenised apart, as they are when the service generates."""
    bos, eos = (tokenizer.encode(name, add_special_tokens=False).ids for name in (BOS, EOS))
    before = [*bos, *tokenizer.encode(prompt, add_special_tokens=False).ids]
    after = [*tokenizer.encode(completion, add_special_tokens=False).ids, *eos]
    return before + after, len(before)
