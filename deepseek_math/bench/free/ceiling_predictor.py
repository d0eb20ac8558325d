"""The whole service on a free engine, for `dsm bench ceiling`. CEILING_ADAPTER names the adapter in front of it,
CEILING_RATE is its pace in steps a second, and CEILING_URL where the remote adapter's server is.

NOTE: Cog loads this file from a folder of its own; see `ceiling.py`.
"""

import os
from pathlib import Path

from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming

from deepseek_math.bench.free.adapters import engine
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.cog import live
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service

live.install()


class Predictor(BasePredictor):
    async def setup(self) -> None:
        rate, url = float(os.environ["CEILING_RATE"]), os.environ["CEILING_URL"]
        opened = engine(os.environ["CEILING_ADAPTER"], rate, url)
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
