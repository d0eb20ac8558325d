"""Reinforcement learning by GRPO, DeepSeekMath's own method, with TRL's trainer.

    CHECKPOINT=instruct accelerate launch -m deepseek_math.training.grpo weights/my-rl --questions questions.jsonl

CHECKPOINT is a name or a folder, as for the service; the settings are the published ones unless `--settings` names
another row of the table. The reward is the service's own check of the answer (`reward.py`). OUT becomes a checkpoint
folder that `CHECKPOINT=OUT` loads; `OUT.run/` holds the log and the state from which a stopped run goes on.
"""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from deepseek_math.checkpoints import digest, fetch, find
from deepseek_math.errors import ServiceError
from deepseek_math.files import replacing_folder
from deepseek_math.prompts import asked
from deepseek_math.training.faults import plainly
from deepseek_math.training.held_out import accuracy
from deepseek_math.training.log import Log
from deepseek_math.training.questions import Row, read
from deepseek_math.training.reward import correct
from deepseek_math.training.run_folder import begin, claim


@dataclass(frozen=True, slots=True)
class Settings:
    """A row of the table: how many outputs of how many tokens each question gets, and how far a step goes."""

    group: int  # outputs of one question
    batch: int  # outputs of one step, all questions and processes together
    each: int  # outputs that one device takes at a time; no matter for the result
    rate: float
    kl: float
    tokens: int
    steps: int  # -1: once through the questions
    warmup: int = 0
    decay: int = 0  # the last steps, over which the rate falls to nothing
    temperature: float = 1.0  # the paper does not say
    save: int = 25  # steps between saved states
    measure: int = 20  # steps between measurements on held-out questions


# The paper (arXiv 2402.03300, section 4.2): 64 outputs a question, 1e-6, KL 0.04, 1024 tokens, batch 1024, one update
# after each exploration. A model two thousand times smaller bears a larger step, and small groups make it affordable.
# One long text among 128 makes all as long, so tiny's limit is short: 1 solution in 100 has more than 256 tokens.
SETTINGS: Mapping[str, Settings] = {
    "published": Settings(group=64, batch=1024, each=8, rate=1e-6, kl=0.04, tokens=1024, steps=-1),
    "tiny": Settings(group=8, batch=128, each=64, rate=1e-4, kl=0.04, tokens=256, steps=120, warmup=5, decay=45),
    "toy": Settings(group=32, batch=64, each=64, rate=1e-3, kl=0.04, tokens=40, steps=16, save=8, measure=8),
}
MOST_MEASURED = 200
FINISHED = "finished"  # the file in OUT.run that says so


def grpo(
    checkpoint: str, questions: list[Row], out: Path, settings: Settings, *, held: Sequence[Row] = (), lora: int = 0
) -> Path:
    """Trains from `checkpoint` on `questions` and returns `out`, a checkpoint folder. Raises ServiceError.

    lora: the rank of adapters that are trained in place of all weights and merged into them at the end; 0 for none.
    An `out` that a run has finished is left as it is; one that no run has made is refused.
    """
    run = out.with_name(out.name + ".run")
    claim(out, run)
    row = find(checkpoint)
    source = fetch(row)
    if source.is_file():
        raise ServiceError("checkpoint_unusable", f"{source} is a GGUF file: training starts from safetensors.")
    saved = _saved(run)
    step = int(saved.name.partition("-")[2]) if saved else 0
    begin(run, _terms(source, questions, settings, lora), saved)
    if (run / FINISHED).exists() or (out.exists() and step >= settings.steps > 0):
        if not out.exists():
            raise ServiceError("setting_invalid", f"{out} is gone and its run is finished. Remove {run} to train anew.")
        print(f"{out} is finished")
        return out
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, padding_side="left")
    tokenizer.chat_template = row.style.chat_template or tokenizer.chat_template
    on_gpu = torch.cuda.is_available()
    # The steps of 1e-6 would be lost in bfloat16's rounding; adapters are small, and what they adapt may be rounded.
    dtype = torch.bfloat16 if lora and on_gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=correct,
        args=_config(settings, run, on_gpu),
        train_dataset=_dataset(questions),
        processing_class=tokenizer,
        peft_config=_adapters(lora),
    )
    log = Log(run / "log.jsonl", step) if trainer.is_world_process_zero() else None
    trainer.add_callback(_Measured(log, trainer, held[:MOST_MEASURED], settings.measure))
    trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # of all processes: weights may be spread
    if trainer.is_world_process_zero():
        _write(state, source, out, lora)
        (run / FINISHED).touch()
    return out


def _terms(source: Path, questions: list[Row], settings: Settings, lora: int) -> dict[str, Any]:
    """What a run must go on with. The rest of the settings is no matter for the result."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ("each", "save", "measure")}
    kept["batch"] = _at_once(settings) * _in_turn(settings)
    asked_for = hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:16]
    return {"checkpoint": digest(source), "questions": asked_for, "lora": lora} | kept


def _at_once(settings: Settings) -> int:
    """Completions that all processes work on at once."""
    return settings.each * int(os.environ.get("WORLD_SIZE", "1"))


def _in_turn(settings: Settings) -> int:
    """How often they do so for a step."""
    return max(1, settings.batch // _at_once(settings))


def _config(settings: Settings, run: Path, on_gpu: bool) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(run),
        num_generations=settings.group,
        per_device_train_batch_size=settings.each,
        gradient_accumulation_steps=_in_turn(settings),
        learning_rate=settings.rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": settings.decay, "decay_type": "linear"},
        warmup_steps=settings.warmup,
        max_completion_length=settings.tokens,
        max_steps=settings.steps,
        num_train_epochs=1,
        temperature=settings.temperature,
        beta=settings.kl,
        loss_type="grpo",  # the mean over an output's tokens, then over outputs, as published
        use_bias_correction_kl=False,  # the published estimate of the KL divergence
        num_iterations=1,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu,
        logging_steps=1,
        save_steps=settings.save,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        seed=1,
    )


def _dataset(questions: list[Row]) -> Dataset:
    return Dataset.from_list(
        [
            {"prompt": [{"role": "user", "content": asked(row["question"], "cot")}], "answer": row["answer"]}
            for row in questions
        ]
    )


def _adapters(rank: int) -> LoraConfig | None:
    """peft's settings for adapters of every linear layer."""
    if not rank:
        return None
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def _saved(run: Path) -> Path | None:
    """The newest state that is whole: the file looked for is the last that is written of one."""
    whole = [path.parent for path in run.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda folder: int(folder.name.partition("-")[2]), default=None)


class _Measured(TrainerCallback):
    """Logs each step: reward, KL, tokens, share cut at the limit, seconds, and now and then held-out accuracy.

    Every process takes part in a measurement; the one with the log writes.
    """

    def __init__(self, log: Log | None, trainer: GRPOTrainer, held: Sequence[Row], measure: int) -> None:
        self._log, self._trainer, self._held, self._measure = log, trainer, held, measure

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._held and state.global_step == 0:
            self._write({"step": 0, "held": self._accuracy()})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        if not logs or "reward" not in logs:
            return
        wanted = {
            "reward": "reward",
            "kl": "kl",
            "completions/mean_length": "tokens",
            "completions/clipped_ratio": "cut",
        }
        line = {short: round(float(logs[name]), 5) for name, short in wanted.items() if logs.get(name) is not None}
        if self._held and state.global_step % self._measure == 0:
            line["held"] = self._accuracy()
        self._write({"step": state.global_step} | line)

    def _accuracy(self) -> float:
        return accuracy(self._trainer.model, self._trainer.processing_class, self._held)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._log:
            print(json.dumps(self._log.write(line)), flush=True)


def _write(state: Mapping[str, torch.Tensor], source: Path, out: Path, lora: int) -> None:
    """The trained weights in bf16, adapters merged in, beside the tokenizer files of the checkpoint they came from."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    if lora:
        model = get_peft_model(model, _adapters(lora))
    model.load_state_dict(state)
    if lora:
        model = model.merge_and_unload()
    with replacing_folder(out) as part:
        model.to(torch.bfloat16).save_pretrained(part)
        for file in (*source.glob("*token*"), *source.glob("chat_template*")):
            shutil.copy(file, part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=Path, required=True, help="JSON lines: question, answer")
    parser.add_argument("--held-out", type=Path, help="JSON lines to measure on between steps")
    parser.add_argument("--settings", choices=SETTINGS, default="published")
    parser.add_argument("--steps", type=int, help="in place of those of the settings; -1: once through the questions")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0 trains all weights")
    arguments = parser.parse_args()
    settings = SETTINGS[arguments.settings]
    if arguments.lora < 0:
        parser.error(f"--lora {arguments.lora}: the rank is 1 or more, 0 for no adapters")
    if arguments.steps is not None:
        settings = replace(settings, steps=arguments.steps)
    questions = read(arguments.questions)
    a_step = _at_once(settings) * _in_turn(settings) // settings.group  # what is left over is left out
    once = len(questions) // a_step
    steps, turns = once if settings.steps == -1 else settings.steps, settings.warmup + settings.decay
    if not once or steps <= turns:
        parser.error(
            f"--steps {settings.steps} and {len(questions)} questions are too few: a step takes {a_step} questions, -1 "
            f"takes all of them once, and the rate rises and falls over {turns} steps, so that there must be more."
        )
    held = read(arguments.held_out) if arguments.held_out else []
    checkpoint = os.environ.get("CHECKPOINT") or "instruct"
    grpo(
        checkpoint,
        questions,
        arguments.out,
        settings,
        held=held,
        lora=arguments.lora,
    )


if __name__ == "__main__":
    with plainly():
        main()
