"""What a GRPO run is set to: the published settings, and smaller ones for smaller models, as rows of one table."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trl import GRPOConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """How many completions of how many tokens each question gets, and how far a step goes."""

    group: int  # completions of one question
    batch: int  # completions of one step, all questions and processes together
    each: int  # completions that one device makes at a time; the result does not depend on it
    rate: float  # the learning rate
    kl: float  # the coefficient of the KL divergence
    tokens: int  # the most tokens of a completion
    steps: int  # -1: once through the questions
    warmup: int = 0  # steps over which the rate rises
    decay: int = 0  # steps at the end over which the rate falls to zero
    temperature: float = 1.0  # the paper does not give one
    save: int = 25  # steps between saved states
    measure: int = 20  # steps between measurements on held-out questions

    @property
    def at_once(self) -> int:
        """Completions that all processes make at the same time. accelerate sets WORLD_SIZE."""
        return self.each * int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def accumulation(self) -> int:
        """How many times they do so for one step."""
        return max(1, self.batch // self.at_once)

    @property
    def questions(self) -> int:
        """Questions of one step."""
        return self.at_once * self.accumulation // self.group


# The paper (arXiv 2402.03300, section 4.2): 64 outputs a question, 1e-6, KL 0.04, 1024 tokens, batch 1024, one update
# after each exploration. A model two thousand times smaller needs a larger step, and small groups make it affordable.
# The longest completion of a step sets its cost, so tiny's limit is short: 1 solution in 100 has more than 256 tokens.
SETTINGS: Mapping[str, Settings] = {
    "published": Settings(group=64, batch=1024, each=8, rate=1e-6, kl=0.04, tokens=1024, steps=-1),
    "tiny": Settings(group=8, batch=128, each=64, rate=1e-4, kl=0.04, tokens=256, steps=120, warmup=5, decay=45),
    "toy": Settings(group=32, batch=64, each=64, rate=1e-3, kl=0.04, tokens=40, steps=16, save=8, measure=8),
}


def trainer_config(settings: Settings, run: Path, on_gpu: bool) -> "GRPOConfig":
    """The same settings as TRL names them."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(run),
        num_generations=settings.group,
        per_device_train_batch_size=settings.each,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": settings.decay, "decay_type": "linear"},
        warmup_steps=settings.warmup,
        max_completion_length=settings.tokens,
        max_steps=settings.steps,
        num_train_epochs=1,
        temperature=settings.temperature,
        beta=settings.kl,
        loss_type="grpo",  # the mean over a completion's tokens, then over completions, as published
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


def too_few(settings: Settings, questions: int) -> str | None:
    """What is wrong where the steps or the questions do not suffice, else None."""
    passes = questions // settings.questions  # steps that go once through the questions; what is left over is not used
    steps = passes if settings.steps == -1 else settings.steps
    changing = settings.warmup + settings.decay
    if passes and steps > changing:
        return None
    return (
        f"--steps {settings.steps} and {questions} questions are too few. A step takes {settings.questions} questions, "
        f"--steps -1 goes through all of them once, and there must be more than {changing} steps, over which the "
        "learning rate rises and falls."
    )
