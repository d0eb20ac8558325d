"""Rows of OpenAI's batch files: a request each (`custom_id`, `method`, `url`, `body`), answered in their own form.

The form is that of the batch API's reference (platform.openai.com/docs/api-reference/batch). A field of a body that
can't be honoured is refused by name, unless its value is the neutral one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_math.batch.input_file import Columns
from deepseek_math.batch.row import UNWRITTEN
from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME
from deepseek_math.jobs.journal import Line
from deepseek_math.other_names import over

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
OURS = {name for name in BY_NAME if name not in ("prompt", "messages", "system_prompt", *UNWRITTEN)}
# They change no completion: who asks, and what is kept there.
WITHOUT_EFFECT = ("model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
NEUTRAL: Mapping[str, Sequence[Any]] = {  # the values of other fields that ask for nothing
    "n": (1,),
    "best_of": (1,),
    "stream": (False,),
    "echo": (False,),
    "logprobs": (False, 0),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
}
FINISHED = {"stop": "stop", "stop_string": "stop", "length": "length", "tool_rounds": "length", "repetition": "length"}


def is_batch(columns: Columns) -> bool:
    """Whether a row is one of OpenAI's."""
    return "custom_id" in columns and "body" in columns


@dataclass(frozen=True, slots=True)
class OpenAIForm:
    """`options` are the inputs of all bodies that have no value of their own."""

    options: Mapping[str, Any]
    prefix: str = ""

    def inputs(self, columns: Columns) -> dict[str, Any]:
        body, url = columns.get("body"), columns.get("url", CHAT)
        if not isinstance(columns.get("custom_id"), str) or not isinstance(body, dict):
            raise _invalid("The row needs custom_id, a text, and body, an object.")
        if url not in (CHAT, TEXT):
            raise _invalid(f"url is {url!r}. {CHAT} and {TEXT} are answered.")
        body = {name: value for name, value in body.items() if value is not None}
        asked = _chat(body.pop("messages", None)) if url == CHAT else _text(body.pop("prompt", None))
        return over(self.options, asked | _others(body))

    def written(self, columns: Columns, line: Line, checkpoint: str) -> Columns:
        id = f"batch_req_{line['row']}_{line['key']}"
        error = None
        if line["error_code"]:
            error = {"code": line["error_code"], "message": line["error"]}
            body: Columns = {"error": error | {"type": "invalid_request_error", "param": None}}
        else:
            body = _completion(columns.get("url", CHAT) == CHAT, line, checkpoint)
        status = 400 if error else 200
        response = {"status_code": status, "request_id": id, "body": body}
        return {"id": id, "custom_id": columns.get("custom_id"), "response": response, "error": error}


def _chat(messages: Any) -> dict[str, Any]:
    """The inputs that a conversation makes: system texts before it, and the last turn as the prompt."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _invalid("body.messages is not a list of objects.")
    turns = [{"role": message.get("role"), "content": _content(message.get("content"))} for message in messages]
    system = []
    while turns and turns[0]["role"] in ("system", "developer"):
        system.append(turns.pop(0)["content"])
    if not turns or turns[-1]["role"] != "user":
        raise _invalid("body.messages does not end with a turn of the user.")
    inputs = {"prompt": turns[-1]["content"], "messages": turns[:-1], "system_prompt": "\n".join(system)}
    return {name: value for name, value in inputs.items() if value or name == "prompt"}


def _content(content: Any) -> str:
    """A turn's text, which may come in parts."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise _invalid("body.messages holds a content that is not text. Images and the like are not answered.")
        texts.append(text)
    return "".join(texts)


def _text(prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, str):
        raise _invalid("body.prompt is not a text. Write a row for each prompt.")
    return {"prompt": prompt, "mode": "raw"}


def _others(body: Columns) -> dict[str, Any]:
    inputs = {}
    for name, value in body.items():
        if name in OURS:
            inputs[name] = value
        elif name not in WITHOUT_EFFECT and value not in NEUTRAL.get(name, ()):
            raise _invalid(f"body.{name} is {value!r:.60}, which can't be honoured. Leave it out.")
    if isinstance(inputs.get("stop"), str):
        inputs["stop"] = [inputs["stop"]]
    return inputs


def _completion(chat: bool, line: Line, checkpoint: str) -> Columns:
    text = line["completion"]
    shown = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    finished = FINISHED.get(line["finish_reason"], line["finish_reason"])
    read, written = line["prompt_tokens"] or 0, line["completion_tokens"] or 0
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{line['row']}-{line['key']}",
        "object": "chat.completion" if chat else "text_completion",
        "created": line["at"],
        "model": checkpoint,
        "choices": [{"index": 0, **shown, "logprobs": None, "finish_reason": finished}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        **{name: line[name] for name in ("answer", "answer_source", "agreement", "correct", "seed")},
    }


def _invalid(message: str) -> ServiceError:
    return ServiceError("row_invalid", message)
