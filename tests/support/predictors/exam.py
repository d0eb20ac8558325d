"""A Predictor for the evaluation's tests: the whole service, with an engine that knows answers by heart.

EXAM names a JSON file: question to completion, or to a list of completions by seed; the question that stands last in
the prompt counts, and a program's output may be one. ASKED is the file where each question is noted, PAUSE the seconds
before each answer, FAULTS how often the engine fails at each question before it answers, SLOTS how many it works on at
once, DIGEST what is said of the checkpoint's files, ENGINE of the engine's settings.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming

from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.cog import live
from deepseek_math.errors import ServiceError
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.sampling import Sampling
from deepseek_math.service import Service
from tests.support.scripted_engine import ScriptedEngine, Step

live.install()


class Predictor(BasePredictor):
    async def setup(self) -> None:
        self.exam = json.loads(Path(os.environ["EXAM"]).read_text())
        self.asked = Path(os.environ["ASKED"])
        self.faults = Counter[str]()
        style = PromptStyle(chat_template=DEEPSEEK_TEMPLATE)
        checkpoint = Checkpoint(os.environ.get("NAME", "rl"), Local(Path()), "none", style=style)
        engine = ScriptedEngine(self.answer, context=100_000, slots=int(os.environ.get("SLOTS", "16")))
        engine.settings = os.environ.get("ENGINE", engine.settings)
        self.service = Service(checkpoint, engine, Sandboxes(), os.environ.get("DIGEST", "d1"))

    @streaming
    @concurrent(max=64)
    async def predict(
        self,
        prompt: str = Input(description="The question."),
        mode: str = Input(description="How it is put.", default="auto", choices=["auto", "chat", "cot", "raw", "tool"]),
        max_new_tokens: int = Input(description="Tokens.", default=1024),
        temperature: float | None = Input(description="Randomness.", default=None),
        stop: list[str] = Input(description="Stop strings.", default=[]),
        seed: int | None = Input(description="Seed.", default=None),
        samples: int = Input(description="Votes.", default=1),
        tool_loop: str = Input(description="Loop.", default="service", choices=["service", "published"]),
        max_tokens: int | None = Input(description="Tokens.", default=None),
        max_completion_tokens: int | None = Input(description="Tokens.", default=None),
        max_tool_rounds: int = Input(description="Programs.", default=4),
    ) -> ConcatenateIterator[str]:
        inputs = {
            "prompt": prompt,
            "mode": mode,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "stop": stop,
            "seed": seed,
            "samples": samples,
            "tool_loop": tool_loop,
            "max_tokens": max_tokens,
            "max_completion_tokens": max_completion_tokens,
            "max_tool_rounds": max_tool_rounds,
        }
        return live.stream(self.service.complete(inputs, self.record_metric))

    def answer(self, prompt: Sequence[int], sampling: Sampling) -> Sequence[Step]:
        """The completion of the last question in the prompt, after a pause, word by word."""
        text = "".join(map(chr, prompt))
        known = max(self.exam, key=text.rfind)
        if known not in text:
            return ["?"]
        with self.asked.open("a") as asked:
            asked.write(json.dumps({"question": known, "seed": sampling.seed, "prompt": text}) + "\n")
        self.faults[known] += 1
        if self.faults[known] <= int(os.environ.get("FAULTS", "0")):
            return [ServiceError("engine_failed", "The engine dropped it.")]
        said = self.exam[known]
        words = (said[sampling.seed % len(said)] if isinstance(said, list) else said).split(" ")
        pause = float(os.environ.get("PAUSE", "0"))
        return [pause, *(f"{word} " for word in words[:-1]), words[-1]]
