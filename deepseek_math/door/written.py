"""OpenAI's objects: completions in one piece, the chunks of a stream, and its server-sent events."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deepseek_math.door.asked import Asked, Kind
from deepseek_math.door.drawn import Piece, Token
from deepseek_math.door.upstream import ServedModel

Json = dict[str, Any]
OBJECTS: Mapping[Kind, tuple[str, str]] = {  # in one piece, and of a chunk
    "chat": ("chat.completion", "chat.completion.chunk"),
    "text": ("text_completion", "text_completion"),
}
PREFIXES: Mapping[Kind, str] = {"chat": "chatcmpl-", "text": "cmpl-"}
# OpenAI's words for our reasons. A sample of a vote that a fault ended has its text up to there.
FINISHED = {"stop_string": "stop", "tool_rounds": "length", "repetition": "length", "error": "length"}
EXTRA = "deepseek_math"  # the object beside choices: the answer, the votes and all other metrics
EXTRA_CHARACTERS = 8000  # of JSON, of that object in one event
LINE_BREAKS = "\u2028\u2029\u0085"  # for some readers, which would cut an event there


@dataclass(slots=True)
class Choice:
    """One choice as far as it has come."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: str | None = None


class Writer:
    """Writes one answer's objects."""

    def __init__(self, asked: Asked, model: ServedModel) -> None:
        self.id = PREFIXES[asked.kind] + uuid.uuid4().hex
        self._asked = asked
        self._model = model
        self._created = int(time.time())
        self._offsets = [0] * asked.choices  # characters of each choice's tokens so far

    def whole(self, choices: Sequence[Choice], ended: Sequence[Json]) -> Json:
        written = [self._choice(index, choice) for index, choice in enumerate(choices)]
        name = OBJECTS[self._asked.kind][0]
        return self._object(name, written, usage=self.usage(ended), **{EXTRA: self._extra(ended)})

    def begin(self, choice: int) -> Json:
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def alive(self, choice: int) -> Json:
        """A chunk that says nothing, which every client reads; not every one takes a comment."""
        return self._chunk(choice, {})

    def piece(self, piece: Piece) -> Json:
        return self._chunk(piece.choice, {"content": piece.text}, self._logprobs(piece.choice, piece.tokens))

    def end(self, finished: Mapping[int, str], ended: Sequence[Json]) -> Iterator[Json]:
        """The last chunk of each choice. The extra object stands in the last of all, and what is too much for one
        event in chunks before it, whose lists go on."""
        *parts, last_part = in_parts(self._extra(ended))
        *others, last = sorted(finished)
        for choice in others:
            yield self._chunk(choice, {}, finish=finished[choice])
        for part in parts:
            yield self._chunk(last, {}, **{EXTRA: part})
        yield self._chunk(last, {}, finish=finished[last], **{EXTRA: last_part})
        if self._asked.include_usage:
            yield self._object(OBJECTS[self._asked.kind][1], [], usage=self.usage(ended))

    def usage(self, ended: Sequence[Json]) -> dict[str, int]:
        """A prompt counts once, however many choices it has; the tokens of all choices count."""
        read = sum(metrics["prompt_tokens"] for metrics in ended)
        times = self._asked.n if self._asked.alike else 1
        made = times * sum(metrics["completion_tokens"] for metrics in ended)
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}

    def _extra(self, ended: Sequence[Json]) -> Json:
        return ended[0] if len(ended) == 1 else {"predictions": list(ended)}

    def _object(self, name: str, choices: list[Json], **others: Any) -> Json:
        return {
            "id": self.id,
            "object": name,
            "created": self._created,
            "model": self._model.name,
            "system_fingerprint": self._model.fingerprint,
            "choices": choices,
            **others,
        }

    def _choice(self, index: int, choice: Choice) -> Json:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        said: Json = {"message": message} if self._asked.kind == "chat" else {"text": choice.text}
        logprobs = self._logprobs(index, choice.tokens)
        return {"index": index, **said, "logprobs": logprobs, "finish_reason": _finished(choice.finish)}

    def _chunk(self, index: int, delta: Json, logprobs: Json | None = None, **others: Any) -> Json:
        said = {"delta": delta} if self._asked.kind == "chat" else {"text": delta.get("content", "")}
        finish = _finished(others.pop("finish", None))
        if self._asked.include_usage:
            others["usage"] = None
        choice = {"index": index, **said, "logprobs": logprobs, "finish_reason": finish}
        return self._object(OBJECTS[self._asked.kind][1], [choice], **others)

    def _logprobs(self, index: int, tokens: Sequence[Token]) -> Json | None:
        if not self._asked.logprobs:
            return None
        if self._asked.kind == "chat":
            return {"content": [_chat_token(token) for token in tokens], "refusal": None}
        offsets = []
        for token in tokens:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token.text)
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": None,
            "text_offset": offsets,
        }


def _finished(reason: str | None) -> str | None:
    return None if reason is None else FINISHED.get(reason, reason)


def _chat_token(token: Token) -> Json:
    is_whole = "\ufffd" not in token.text  # else its bytes are not known
    said = list(token.text.encode()) if is_whole else None
    return {"token": token.text, "logprob": token.logprob, "bytes": said, "top_logprobs": []}


def in_parts(values: Mapping[str, Any]) -> list[Json]:
    """The same values in objects of at most EXTRA_CHARACTERS each, if no single one is longer. A list may go on in the
    next object, under its own name."""
    parts: list[Json] = [{}]
    used = 0
    for name, value in values.items():
        for item in value if isinstance(value, list) and value else [value]:
            size = len(json.dumps(item))
            if used and used + size > EXTRA_CHARACTERS:
                parts.append({})
                used = 0
            used += size
            if isinstance(value, list) and value:
                parts[-1].setdefault(name, []).append(item)
            else:
                parts[-1][name] = item
    return parts


def event(data: Mapping[str, Any]) -> bytes:
    """A server-sent event of one line: JSON escapes line breaks, and here so are those that only some readers know."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in LINE_BREAKS:
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"data: {text}\n\n".encode()


DONE = b"data: [DONE]\n\n"
