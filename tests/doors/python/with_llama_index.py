"""LlamaIndex's OpenAILike, which has one choice in an answer."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

from tests.doors.python.checks import Answer, prove


class Client:
    refusal = openai.BadRequestError
    takes_n = False
    streamed_usage: tuple[int, int] | None = None

    def __init__(self, url: str) -> None:
        self._url = url
        self._model = httpx.get(f"{url}/models").json()["data"][0]["id"]

    def whole(self, question: str, **fields: Any) -> Answer:
        done = self._llm(fields).chat([ChatMessage(role="user", content=question)])
        return Answer([done.message.content], (done.raw.usage.prompt_tokens, done.raw.usage.completion_tokens))

    def pieces(self, question: str, **fields: Any) -> Iterator[str]:
        for piece in self._llm(fields).stream_chat([ChatMessage(role="user", content=question)]):
            if piece.delta:
                yield piece.delta

    def _llm(self, fields: dict[str, Any]) -> OpenAILike:
        own = {name: fields.pop(name) for name in ("temperature", "max_tokens") if name in fields}
        return OpenAILike(
            api_base=self._url,
            api_key="none",
            model=self._model,
            is_chat_model=True,
            max_retries=0,
            additional_kwargs=fields,
            **own,
        )


prove(Client)
