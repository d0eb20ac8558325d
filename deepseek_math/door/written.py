"""OpenAI's objects: completions in one piece, and the chunks of a stream."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_math.door.asked import Kind

OBJECTS: Mapping[Kind, tuple[str, str]] = {  # in one piece, and of a chunk
    "chat": ("chat.completion", "chat.completion.chunk"),
    "text": ("text_completion", "text_completion"),
}
PREFIXES: Mapping[Kind, str] = {"chat": "chatcmpl-", "text": "cmpl-"}
FINISHED = {"stop_string": "stop", "tool_rounds": "length", "repetition": "length"}  # OpenAI's words for ours
EXTRA = "deepseek_math"  # the object beside choices: the answer, the votes and all other metrics


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def body(self) -> dict[str, int]:
        total = self.prompt_tokens + self.completion_tokens
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return counts | {"total_tokens": total}


@dataclass(frozen=True, slots=True)
class Writer:
    """What all objects of one answer share."""

    kind: Kind
    model: str
    fingerprint: str | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def _object(self, name: str, choices: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
        return {
            "id": PREFIXES[self.kind] + self.id,
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            **others,
        }

    def whole(self, texts: list[str], finished: list[str], usage: Usage, metrics: Mapping[str, Any]) -> dict[str, Any]:
        choices = [self._choice(index, *each) for index, each in enumerate(zip(texts, finished, strict=True))]
        return self._object(OBJECTS[self.kind][0], choices, usage=usage.body(), **{EXTRA: metrics})

    def _choice(self, index: int, text: str, finish: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        shown: dict[str, Any] = {"message": message} if self.kind == "chat" else {"text": text}
        return {"index": index, **shown, "logprobs": None, "finish_reason": FINISHED.get(finish, finish)}

    def chunk(self, index: int, delta: dict[str, Any], finish: str | None = None, **others: Any) -> dict[str, Any]:
        """One piece of a choice; `delta` is that of a chat, and its content the text of a completion."""
        shown = {"delta": delta} if self.kind == "chat" else {"text": delta.get("content", "")}
        choice = {"index": index, **shown, "logprobs": None, "finish_reason": finish and FINISHED.get(finish, finish)}
        return self._object(OBJECTS[self.kind][1], [choice], **others)

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        return self._object(OBJECTS[self.kind][1], [], usage=usage.body())


def event(data: Mapping[str, Any] | str) -> bytes:
    """A server-sent event of one line: JSON escapes line breaks. U+2028 and its like are escaped too, since some
    readers break lines there."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "\u2028\u2029\u0085":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"data: {text}\n\n".encode()
