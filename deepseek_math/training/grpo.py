"""Trains a checkpoint by reinforcement learning with GRPO, DeepSeekMath's own method, with TRL's trainer.

CHECKPOINT in the environment names the checkpoint to start from, as for the service: a name or a folder. On several
GPUs: `accelerate launch -m deepseek_math train grpo OUT --questions FILE`. The reward is the service's own check of the
answer. OUT becomes a checkpoint folder that `CHECKPOINT=OUT` loads. OUT.run holds the log and the saved state: the same
command continues a run that was stopped.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

from deepseek_math.checkpoints import Checkpoint, digest, fetch, find
from deepseek_math.errors import ServiceError
from deepseek_math.files import replacing_folder
from deepseek_math.prompts import asked
from deepseek_math.training.grpo_settings import Settings, trainer_config
from deepseek_math.training.log import Log
from deepseek_math.training.questions import Row
from deepseek_math.training.reward import correct
from deepseek_math.training.run_folder import begin, require_replaceable
from deepseek_math.training.step_log import StepLog

FINISHED = "finished"  # a file of this name in OUT.run says that the run is over
RESULT_DEPENDS_NOT_ON = ("each", "save", "measure")  # settings that a continued run may change


def grpo(
    checkpoint: str, questions: list[Row], out: Path, settings: Settings, *, held: Sequence[Row] = (), lora: int = 0
) -> Path:
    """Trains from `checkpoint` on `questions` and returns `out`, a checkpoint folder. Raises ServiceError.

    held: questions to measure on between steps. lora: the rank of adapters that are trained instead of all weights and
    merged into them at the end; 0 for none. A finished `out` is left as it is. One that no run has made is refused.
    """
    run = out.with_name(f"{out.name}.run")
    require_replaceable(out, run)
    row = find(checkpoint)
    source = fetch(row)
    if source.is_file():
        raise ServiceError("checkpoint_unusable", f"{source} is a GGUF file. Training starts from safetensors.")
    saved = newest_state(run)
    step = _step(saved) if saved else 0
    begin(run, _terms(source, questions, settings, lora), saved)
    if _is_finished(out, run, step, settings):
        print(f"{out} is finished")
        return out
    trainer = _trainer(row, source, questions, run, settings, lora)
    log = Log(run / "log.jsonl", step) if trainer.is_world_process_zero() else None
    trainer.add_callback(StepLog(log, trainer, held, settings.measure))
    trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # gathers the weights of all processes
    if trainer.is_world_process_zero():
        _write(state, source, out, lora)
        (run / FINISHED).touch()
    return out


def _terms(source: Path, questions: list[Row], settings: Settings, lora: int) -> dict[str, Any]:
    """What a run must be continued with."""
    terms = {"checkpoint": digest(source), "questions": _digest(questions), "lora": lora} | asdict(settings)
    for name in RESULT_DEPENDS_NOT_ON:
        del terms[name]
    terms["batch"] = settings.at_once * settings.accumulation
    return terms


def _digest(questions: list[Row]) -> str:
    return hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:16]


def _is_finished(out: Path, run: Path, step: int, settings: Settings) -> bool:
    """Raises ServiceError where the run is finished and its result was removed."""
    finished = (run / FINISHED).exists()
    if finished and not out.exists():
        raise ServiceError(
            "setting_invalid", f"The run in {run} is finished, but {out} was removed. Remove {run} to train again."
        )
    return finished or (out.exists() and step >= settings.steps > 0)


def _trainer(
    row: Checkpoint, source: Path, questions: list[Row], run: Path, settings: Settings, lora: int
) -> GRPOTrainer:
    tokenizer = AutoTokenizer.from_pretrained(
        source, local_files_only=True, trust_remote_code=False, padding_side="left"
    )
    tokenizer.chat_template = row.style.chat_template or tokenizer.chat_template
    on_gpu = torch.cuda.is_available()
    # float32, as the rounding of bfloat16 would swallow steps of 1e-6. Adapters' frozen weights may be rounded.
    dtype = torch.bfloat16 if lora and on_gpu else torch.float32
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, dtype=dtype),
        reward_funcs=correct,
        args=trainer_config(settings, run, on_gpu),
        train_dataset=Dataset.from_list([_example(question) for question in questions]),
        processing_class=tokenizer,
        peft_config=_adapters(lora),
    )


def _example(row: Row) -> dict[str, Any]:
    """A question as TRL's trainer reads it."""
    return {"prompt": [{"role": "user", "content": asked(row["question"], "cot")}], "answer": row["answer"]}


def _adapters(rank: int) -> LoraConfig | None:
    """peft's settings for adapters of every linear layer."""
    if rank == 0:
        return None
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def newest_state(run: Path) -> Path | None:
    """The newest complete state in the run's folder. Its trainer_state.json is written last."""
    complete = [path.parent for path in run.glob("checkpoint-*/trainer_state.json")]
    return max(complete, key=_step, default=None)


def _step(state: Path) -> int:
    return int(state.name.removeprefix("checkpoint-"))


def _write(state: Mapping[str, torch.Tensor], source: Path, out: Path, lora: int) -> None:
    """Writes the trained weights in bfloat16, adapters merged, with the tokenizer files of the first checkpoint."""
    model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, dtype=torch.float32)
    if lora:
        model = get_peft_model(model, _adapters(lora))
    model.load_state_dict(state)
    if lora:
        model = model.merge_and_unload()
    with replacing_folder(out) as part:
        model.to(torch.bfloat16).save_pretrained(part)
        for file in (*source.glob("*token*"), *source.glob("chat_template*")):
            shutil.copy(file, part)
