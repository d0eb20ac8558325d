"""The whole service on a free engine, for `dsm bench ceiling`. CEILING_ADAPTER names the adapter in front of it,
CEILING_RATE is its pace in steps a second, and CEILING_URL where the remote adapter's server is.

NOTE: Cog loads this file from a folder of its own; see `ceiling.py`.
"""

import os
from pathlib import Path
from typing import Any

from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming

from deepseek_math.bench.ceiling import CONTEXT, SLOTS
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.cog import live
from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service

live.install()

TINY = ROOT / "weights/tiny"


def engine(adapter: str, rate: float) -> Any:
    """The engine behind that adapter, not started yet."""
    match adapter:
        case "free":
            from deepseek_math.bench.free.in_process import FreeEngine

            return FreeEngine(TINY / "rl", CONTEXT, SLOTS, rate)
        case "remote":
            from deepseek_math.engines.remote.engine import RemoteEngine

            return RemoteEngine(TINY / "rl", CONTEXT, SLOTS, engine_url=os.environ["CEILING_URL"])
        case "llama_cpp":
            from deepseek_math.bench.free.behind_llama import FreeBehindLlama

            return FreeBehindLlama(TINY / "rl.gguf", CONTEXT, SLOTS, rate)
        case _:
            from deepseek_math.bench.free.behind_transformers import FreeBehindTransformers

            return FreeBehindTransformers(TINY / "rl", CONTEXT, SLOTS, rate)


class Predictor(BasePredictor):
    async def setup(self) -> None:
        opened = engine(os.environ["CEILING_ADAPTER"], float(os.environ["CEILING_RATE"]))
        await opened.start()
        checkpoint = Checkpoint("free", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
        self.service = Service(checkpoint, opened, Sandboxes(), log_prompts=False)

    @streaming
    @concurrent(max=64)
    async def predict(
        self,
        prompt: str = Input(description="The question."),
        mode: str = Input(description="How it is put.", default="raw", choices=["raw"]),
        max_new_tokens: int = Input(description="Tokens.", default=1024),
        temperature: float | None = Input(description="Randomness.", default=None),
        samples: int = Input(description="Votes.", default=1),
    ) -> ConcatenateIterator[str]:
        """Streams the completion."""
        inputs = {
            "prompt": prompt,
            "mode": mode,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "samples": samples,
        }
        return live.stream(self.service.complete(inputs, self.record_metric))
