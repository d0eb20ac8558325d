"""The training loop of pre-training and fine-tuning: AdamW over packed rows, with a state that a stop can't hurt."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from deepseek_math.files import replacing_file
from deepseek_math.training.log import Log
from deepseek_math.training.rows import IGNORED, Rows
from deepseek_math.training.run_folder import begin
from deepseek_math.training.stage import Stage

SAVE_SECONDS = 240.0
LOG_STEPS = 20
COMPILE_STEPS = 1000  # compiling takes a minute or two, and makes steps a fifth to a half faster


def rate(stage: Stage, step: int) -> float:
    """The learning rate of `step` (from 0): a linear warm-up, then the stage's falls."""
    if step < stage.warmup:
        return stage.rate * (step + 1) / stage.warmup
    return stage.rate * min((factor for share, factor in stage.falls if step >= share * stage.steps), default=1.0)


def summed_loss(model: LlamaForCausalLM, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross entropy of the targets, in nats, summed over a block; matrices are multiplied in bfloat16."""
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits
    following, wanted = logits[:, :-1].float().flatten(0, 1), targets[:, 1:].flatten()
    return cross_entropy(following, wanted, ignore_index=IGNORED, reduction="sum")


def train(
    model: LlamaForCausalLM, rows: Rows, stage: Stage, folder: Path, say: Callable[[str], None] = print
) -> LlamaForCausalLM:
    """Trains `model` in place up to the stage's last step; goes on from `folder/state.pt` where there is one.

    `folder/log.jsonl` gets a line every 20 steps: step, loss (nats a token), learning rate, tokens, seconds.
    Raises ServiceError where the folder's run was begun with another stage or shape.
    """
    config = model.config
    shape = (config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers)
    state_path = folder / "state.pt"
    begin(folder, {"shape": shape} | asdict(stage), state_path if state_path.exists() else None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    done, tokens = 0, 0
    if state_path.exists():
        state: dict[str, Any] = torch.load(state_path, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done, tokens = state["done"], state["tokens"]
        say(f"going on after step {done} of {stage.steps}")
    log = Log(folder / "log.jsonl", done)
    loss_of = (
        torch.compile(summed_loss, dynamic=False)
        if shutil.which("g++") and stage.steps > COMPILE_STEPS
        else summed_loss
    )
    loader = torch.utils.data.DataLoader(
        rows, batch_size=None, sampler=range(done, stage.steps), num_workers=1, prefetch_factor=8
    )
    saved = time.monotonic()
    losses: list[float] = []
    model.train()
    for step, blocks in zip(count(done), loader, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate(stage, step)
        learnt = sum(int((targets[:, 1:] != IGNORED).sum()) for _, targets in blocks)
        total = 0.0
        for ids, targets in blocks:
            loss = loss_of(model, ids.to(device), targets.to(device)) / max(1, learnt)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
        tokens += sum(int((ids != 0).sum()) for ids, _ in blocks)
        now, last = time.monotonic(), step + 1 == stage.steps
        if last or (step + 1) % LOG_STEPS == 0:
            mean = round(sum(losses) / len(losses), 4)
            line = log.write({"step": step + 1, "loss": mean, "rate": rate(stage, step), "tokens": tokens})
            say(f"step {step + 1}/{stage.steps}: loss {mean}, {tokens / line['seconds']:.0f} tokens/s")
            losses = []
        if last or now - saved > SAVE_SECONDS:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1}
            state["tokens"] = tokens
            with replacing_file(state_path) as part:
                torch.save(state, part)
            saved = now
    return model
