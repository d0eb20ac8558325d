"""LiteLLM, with the door as a server of OpenAI's kind."""

import os
from collections.abc import Iterator
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the network for a list of prices as it is imported

import litellm

from tests.doors.python.checks import Answer, prove


class Client:
    refusal = litellm.ContextWindowExceededError  # which it reads from the error's code or its words
    takes_n = True
    streamed_usage: tuple[int, int] | None = None

    def __init__(self, url: str) -> None:
        self._url = url
        (self._model,) = litellm.get_valid_models(
            check_provider_endpoint=True, custom_llm_provider="openai", api_base=url.removesuffix("/v1"), api_key="none"
        )

    def whole(self, question: str, **fields: Any) -> Answer:
        done = self._create(question, **fields)
        return Answer(
            [choice.message.content for choice in done.choices],
            (done.usage.prompt_tokens, done.usage.completion_tokens),
        )

    def pieces(self, question: str, **fields: Any) -> Iterator[str]:
        for chunk in self._create(question, stream=True, stream_options={"include_usage": True}, **fields):
            if getattr(chunk, "usage", None):
                self.streamed_usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    def _create(self, question: str, **fields: Any) -> Any:
        return litellm.completion(
            model=f"openai/{self._model.removeprefix('openai/')}",
            api_base=self._url,
            api_key="none",
            num_retries=0,
            max_retries=0,
            messages=[{"role": "user", "content": question}],
            **fields,
        )


prove(Client)
