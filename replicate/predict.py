"""What Cog loads: its inputs in, a stream out. Everything else is in the package deepseek_math.

Cog reads the signature without running it. `dsm schema --update` writes it from deepseek_math/inputs.py.
"""

import asyncio
import traceback
import warnings

from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming

from deepseek_math import logs
from deepseek_math.cog import live
from deepseek_math.start import start

# Cog's own warnings that `predict` will be called `run`: what to do then is in docs/development.md.
warnings.filterwarnings("ignore", r".* is deprecated; use (run\(\)|BaseRunner) instead", DeprecationWarning)
live.install()


def say(line: str) -> None:
    print(line, flush=True)


class Predictor(BasePredictor):
    """DeepSeekMath 7B, or another checkpoint named by the environment variable CHECKPOINT."""

    async def setup(self, weights: str | None = None) -> None:
        """Loads the checkpoint and warms its engine up, with a log line for each step.

        `weights` is what Cog passes on from COG_WEIGHTS. It takes the same values as CHECKPOINT, and wins over it.
        """
        logs.begin(prompts=True)
        try:
            self.service = await start(weights, say)
        except Exception:
            say(traceback.format_exc())  # Cog keeps only the last line of a setup that failed
            raise
        finally:
            await asyncio.sleep(0.1)  # coglet drops lines that are printed right before setup ends

    async def healthcheck(self) -> bool:
        """Asks the engine."""
        return await self.service.healthy()

    @streaming
    @concurrent(max=64)
    async def predict(
        self,
        prompt: str = Input(
            description="The problem to solve, in English or Chinese, or with a base checkpoint the text to continue.",
            min_length=1,
        ),
        mode: str = Input(
            description="How the prompt is put to the model. chat: as a question. cot: as a question, asking for steps and a boxed answer, as in the published results. raw: as it is. tool: as a question, asking for steps and programs, which are run and whose output the model reads. fewshot: after worked examples, for base checkpoints. auto: raw for base checkpoints, cot for the others.",
            default="auto",
            choices=["auto", "chat", "cot", "fewshot", "raw", "tool"],
        ),
        system_prompt: str = Input(
            description="A text before the conversation. The authors of DeepSeekMath advise against one: leave it empty unless you know why.",
            default="",
        ),
        messages: list[dict] = Input(
            description="Earlier turns of the conversation, oldest first, each with role (user or assistant) and content. The prompt is the next user turn.",
            default=[],
        ),
        max_new_tokens: int = Input(
            description="The most tokens to generate. The published results allow 1024. Prompt and completion together must fit the context of 4096.",
            default=1024,
            ge=1,
            le=4096,
        ),
        temperature: float | None = Input(
            description="Randomness. Empty or 0 is greedy, as published; for a vote empty is 0.7 and 0 is refused.",
            default=None,
            ge=0.0,
            le=2.0,
        ),
        top_p: float = Input(
            description="Keep only the likeliest tokens that together reach this probability. Over 0, and 1 keeps all. No effect on greedy decoding.",
            default=0.95,
            ge=0.0,
            le=1.0,
        ),
        top_k: int = Input(description="Keep only this many of the likeliest tokens. 0 is off.", default=0, ge=0),
        stop: list[str] = Input(
            description="Up to 8 texts that end the completion where the first of them would appear.", default=[]
        ),
        seed: int | None = Input(
            description="The same seed gives the same completion. Empty: one is drawn and reported.", default=None, ge=0
        ),
        expected_answer: str = Input(
            description="The right answer, if you know it: the metric correct then says whether the answer found in the completion is equivalent to it.",
            default="",
        ),
        samples: int = Input(
            description="How many completions to draw, with the seeds seed, seed + 1 and so on. Over 1 they vote: the text is one whole completion with the most frequent answer, and temperature is 0.7 where none is given.",
            default=1,
            ge=1,
            le=64,
        ),
        stop_when_sure: float = Input(
            description="A vote always stops when the leading answer can't be caught. Below 1 it also stops when the probability that the leader is the likelier answer reaches this.",
            default=1.0,
            ge=0.5,
            le=1.0,
        ),
        max_tool_rounds: int = Input(
            description="The most programs that one completion may run with mode tool. The published script runs two.",
            default=4,
            ge=1,
            le=8,
        ),
        tool_loop: str = Input(
            description="How programs run with mode tool. service: each one once, and the model goes on after the last. published: as in the published script, all of them anew each time, and the output of the last one ends the completion.",
            default="service",
            choices=["service", "published"],
        ),
        examples: list[dict] = Input(
            description="With mode fewshot: worked examples in place of the four of the service, each with question and solution. A solution states its answer: in a box, or after the words The answer is.",
            default=[],
        ),
        return_samples: bool = Input(
            description="Report every sample in the metric samples, with its text, seed and answer. A vote then does not stop early.",
            default=False,
        ),
        logprobs: bool = Input(
            description="Report the log-probabilities of the tokens drawn in the metric token_logprobs. Not every engine has them.",
            default=False,
        ),
        max_tokens: int | None = Input(
            description="Another name for max_new_tokens, which other models use.",
            default=None,
            ge=1,
            le=4096,
            deprecated=True,
        ),
        max_length: int | None = Input(
            description="Another name for max_new_tokens, which other models use.",
            default=None,
            ge=1,
            le=4096,
            deprecated=True,
        ),
        max_completion_tokens: int | None = Input(
            description="Another name for max_new_tokens, which other models use.",
            default=None,
            ge=1,
            le=4096,
            deprecated=True,
        ),
        stop_sequences: str | list[str] | None = Input(
            description="Another name for stop, which other models use.", default=None, deprecated=True
        ),
        presence_penalty: float | None = Input(
            description="Not offered: 0 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        frequency_penalty: float | None = Input(
            description="Not offered: 0 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        repetition_penalty: float | None = Input(
            description="Not offered: 1 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        length_penalty: float | None = Input(
            description="Not offered: 1 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        min_tokens: int | None = Input(
            description="Not offered: 0 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        min_new_tokens: int | None = Input(
            description="Not offered: 0 or -1 changes nothing, any other value is refused.",
            default=None,
            deprecated=True,
        ),
        min_p: float | None = Input(
            description="Not offered: 0 changes nothing, any other value is refused.", default=None, deprecated=True
        ),
        prompt_template: str | None = Input(
            description="Not offered: {prompt} or an empty text changes nothing, any other value is refused.",
            default=None,
            deprecated=True,
        ),
    ) -> ConcatenateIterator[str]:
        """Streams the completion."""
        inputs = {
            "prompt": prompt,
            "mode": mode,
            "system_prompt": system_prompt,
            "messages": messages,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop": stop,
            "seed": seed,
            "expected_answer": expected_answer,
            "samples": samples,
            "stop_when_sure": stop_when_sure,
            "max_tool_rounds": max_tool_rounds,
            "tool_loop": tool_loop,
            "examples": examples,
            "return_samples": return_samples,
            "logprobs": logprobs,
            "max_tokens": max_tokens,
            "max_length": max_length,
            "max_completion_tokens": max_completion_tokens,
            "stop_sequences": stop_sequences,
            "presence_penalty": presence_penalty,
            "frequency_penalty": frequency_penalty,
            "repetition_penalty": repetition_penalty,
            "length_penalty": length_penalty,
            "min_tokens": min_tokens,
            "min_new_tokens": min_new_tokens,
            "min_p": min_p,
            "prompt_template": prompt_template,
        }
        return live.stream(self.service.complete(inputs, self.record_metric))
