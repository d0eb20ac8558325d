"""Simon Willison's llm, with the door in its list of models. It offers no `n`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import llm
import openai

from tests.doors.python.checks import Answer, prove


class Client:
    refusal = openai.BadRequestError
    takes_n = False
    streamed_usage: tuple[int, int] | None = None

    def __init__(self, url: str) -> None:
        name = httpx.get(f"{url}/models").json()["data"][0]["id"]
        listed = Path(os.environ["LLM_USER_PATH"], "extra-openai-models.yaml")
        listed.write_text(f"- model_id: {name}-door\n  model_name: {name}\n  api_base: {url}\n  api_key_name: none\n")
        self._model = llm.get_model(f"{name}-door")

    def whole(self, question: str, **fields: Any) -> Answer:
        done = self._model.prompt(question, stream=False, key="none", **fields)
        text, usage = done.text(), done.usage()
        return Answer([text], (usage.input, usage.output))

    def pieces(self, question: str, **fields: Any) -> Iterator[str]:
        done = self._model.prompt(question, stream=True, key="none", **fields)
        yield from done
        self.streamed_usage = (done.usage().input, done.usage().output)


prove(Client)
