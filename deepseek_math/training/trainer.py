"""The training loop of pre-training and fine-tuning: AdamW over packed rows, with a saved state to resume from."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from deepseek_math.files import replacing_file
from deepseek_math.training.log import Log
from deepseek_math.training.rows import IGNORED, Block, Rows
from deepseek_math.training.run_folder import begin
from deepseek_math.training.stage import Stage

SAVE_SECONDS = 240.0
LOG_STEPS = 20
COMPILE_STEPS = 1000  # compiling takes a minute or two, and makes steps a fifth to a half faster

Loss = Callable[[LlamaForCausalLM, torch.Tensor, torch.Tensor], torch.Tensor]


def rate(stage: Stage, step: int) -> float:
    """The learning rate of `step` (from 0): a linear warm-up, then the stage's falls."""
    if step < stage.warmup:
        return stage.rate * (step + 1) / stage.warmup
    reached = [factor for share, factor in stage.falls if step >= share * stage.steps]
    return stage.rate * min(reached, default=1.0)


def summed_loss(model: LlamaForCausalLM, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross entropy of the targets, in nats, summed over a block. Matrices are multiplied in bfloat16."""
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits
    predicted, wanted = logits[:, :-1].float().flatten(0, 1), targets[:, 1:].flatten()
    return cross_entropy(predicted, wanted, ignore_index=IGNORED, reduction="sum")


@dataclass(slots=True)
class State:
    """What a stopped run resumes from: the file at `path` holds all of it."""

    path: Path
    model: LlamaForCausalLM
    optimizer: torch.optim.Optimizer
    done: int = 0  # steps
    tokens: int = 0

    def load(self, device: torch.device) -> None:
        saved: dict[str, Any] = torch.load(self.path, weights_only=True, map_location=device)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.done, self.tokens = saved["done"], saved["tokens"]

    def save(self) -> None:
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "tokens": self.tokens,
        }
        with replacing_file(self.path) as part:
            torch.save(content, part)


def train(
    model: LlamaForCausalLM, rows: Rows, stage: Stage, folder: Path, say: Callable[[str], None] = print
) -> LlamaForCausalLM:
    """Trains `model` in place up to the stage's last step. Continues from `folder/state.pt` where it exists.

    `folder/log.jsonl` gets a line every 20 steps: step, loss (nats a token), learning rate, tokens, seconds.
    Raises ServiceError where the folder's run was started with another stage or shape.
    """
    path = folder / "state.pt"
    begin(folder, {"shape": _shape(model)} | asdict(stage), path if path.exists() else None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    state = State(path, model, optimizer)
    if path.exists():
        state.load(device)
        say(f"continuing after step {state.done} of {stage.steps}")
    log = Log(folder / "log.jsonl", state.done)
    loss_of = _loss(stage)
    loader = torch.utils.data.DataLoader(
        rows, batch_size=None, sampler=range(state.done, stage.steps), num_workers=1, prefetch_factor=8
    )
    saved = time.monotonic()
    losses: list[float] = []
    model.train()
    for step, blocks in zip(count(state.done), loader, strict=False):
        losses.append(_take_step(state, loss_of, blocks, rate(stage, step), device))
        last = state.done == stage.steps
        if last or state.done % LOG_STEPS == 0:
            mean = round(sum(losses) / len(losses), 4)
            line = log.write({"step": state.done, "loss": mean, "rate": rate(stage, step), "tokens": state.tokens})
            say(f"step {state.done}/{stage.steps}: loss {mean}, {state.tokens / line['seconds']:.0f} tokens/s")
            losses.clear()
        if last or time.monotonic() - saved > SAVE_SECONDS:
            state.save()
            saved = time.monotonic()
    return model


def _take_step(state: State, loss_of: Loss, blocks: list[Block], rate: float, device: torch.device) -> float:
    """One update with the learning rate `rate`; returns the mean loss of the batch's targets, in nats."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    targets_in_all = sum(int((targets[:, 1:] != IGNORED).sum()) for _, targets in blocks)
    mean = 0.0
    for ids, targets in blocks:
        loss = loss_of(state.model, ids.to(device), targets.to(device)) / max(1, targets_in_all)
        loss.backward()
        mean += loss.item()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.done += 1
    state.tokens += sum(int((ids != 0).sum()) for ids, _ in blocks)
    return mean


def _shape(model: LlamaForCausalLM) -> tuple[int, ...]:
    config = model.config
    return config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers


def _loss(stage: Stage) -> Loss:
    """The loss, compiled where a compiler is installed and the stage is long enough to be worth it."""
    if stage.steps > COMPILE_STEPS and shutil.which("g++"):
        compiled: Loss = torch.compile(summed_loss, dynamic=False)
        return compiled
    return summed_loss
