"""LangChain's ChatOpenAI."""

from collections.abc import Iterator
from typing import Any

import httpx
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from tests.doors.python.checks import Answer, prove


class Client:
    refusal = ContextOverflowError
    takes_n = True
    streamed_usage: tuple[int, int] | None = None

    def __init__(self, url: str) -> None:
        self._url = url
        self._model = httpx.get(f"{url}/models").json()["data"][0]["id"]

    def whole(self, question: str, **fields: Any) -> Answer:
        done = self._chat(fields).generate([[HumanMessage(question)]])
        usage = done.llm_output["token_usage"]
        texts = [choice.text for choice in done.generations[0]]
        return Answer(texts, (usage["prompt_tokens"], usage["completion_tokens"]))

    def pieces(self, question: str, **fields: Any) -> Iterator[str]:
        for chunk in self._chat(fields | {"stream_usage": True}).stream(question):
            if chunk.usage_metadata:
                self.streamed_usage = (chunk.usage_metadata["input_tokens"], chunk.usage_metadata["output_tokens"])
            if chunk.text:
                yield chunk.text

    def _chat(self, fields: dict[str, Any]) -> ChatOpenAI:
        return ChatOpenAI(base_url=self._url, api_key="none", model=self._model, max_retries=0, **fields)


prove(Client)
