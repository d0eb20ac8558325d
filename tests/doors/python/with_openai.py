"""OpenAI's own client."""

from collections.abc import Iterator
from typing import Any

import openai

from tests.doors.python.checks import Answer, prove


class Client:
    refusal = openai.BadRequestError
    takes_n = True
    streamed_usage: tuple[int, int] | None = None

    def __init__(self, url: str) -> None:
        self._openai = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        self._model = self._openai.models.list().data[0].id
        assert self._openai.models.retrieve(self._model).id == self._model

    def whole(self, question: str, **fields: Any) -> Answer:
        done = self._create(question, **fields)
        return Answer(
            [choice.message.content for choice in done.choices],
            (done.usage.prompt_tokens, done.usage.completion_tokens),
        )

    def pieces(self, question: str, **fields: Any) -> Iterator[str]:
        with self._create(question, stream=True, stream_options={"include_usage": True}, **fields) as stream:
            for chunk in stream:
                if chunk.usage:
                    self.streamed_usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                elif chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

    def _create(self, question: str, **fields: Any) -> Any:
        messages = [{"role": "user", "content": question}]
        return self._openai.chat.completions.create(model=self._model, messages=messages, **fields)


prove(Client)
