"""OpenAI's messages as our inputs: system texts before the conversation, earlier turns, and the last one as the prompt.

The service's turns alternate, so what one side says in a row is one turn. Texts are never dropped; what is no text is
refused by its place.
"""

from collections.abc import Mapping
from typing import Any

from deepseek_math.door.refusals import invalid

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}  # kind, its text's key
THOUGHTS = ("thinking", "reasoning", "redacted_thinking")  # parts of an assistant's turn that are no part of its text
THOUGHTS_BESIDE = ("reasoning_content", "reasoning", "thinking")  # keys of such a turn, in its content's place
BETWEEN = "\n\n"  # texts of one side that came apart
# Keys of a message that ask for what is not here. All others are notes that a client keeps beside its turns.
NOT_OFFERED = ("tool_calls", "function_call", "tool_call_id", "audio", "images", "files", "prefix", "partial")


def inputs(messages: Any) -> dict[str, Any]:
    """`prompt`, `messages` and `system_prompt`, the empty ones left out. Raises Refused."""
    if not isinstance(messages, list) or not messages:
        raise invalid("messages must be a list of at least one message.", "messages")
    system: list[str] = []
    turns: list[dict[str, str]] = []
    last = ""  # the place of the last message that is not the system's
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role, text = _role(where, message), _text(where, message)
        last = last if role == "system" else where
        if not text.strip():
            if number == len(messages) - 1 and role == "user":
                raise invalid(
                    f"{where}.content has no visible character, and it is to be answered.", f"{where}.content"
                )
            continue
        if role == "system":
            system.append(text)
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += BETWEEN + text
        else:
            turns.append({"role": role, "content": text})
    if not turns and system:  # what clients with one text send: it is the question
        return {"prompt": BETWEEN.join(system)}
    if not turns:
        raise invalid("messages holds no visible text.", "messages")
    if turns[-1]["role"] != "user":
        raise invalid(f"{last} is the assistant's. The last message must be the user's, which is answered.", last)
    found = {"prompt": turns.pop()["content"], "messages": turns, "system_prompt": BETWEEN.join(system)}
    return {name: value for name, value in found.items() if value}


def _role(where: str, message: Any) -> str:
    if not isinstance(message, dict):
        raise invalid(f"{where} must be an object with role and content.", where)
    role = message.get("role")
    if role in ("tool", "function"):
        raise invalid(f"{where}.role is {role}: this model calls no tools of a client.", f"{where}.role")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"{where}.role is {role!r:.60}. Use one of {', '.join(ROLES)}.", f"{where}.role")
    for name in NOT_OFFERED:
        if message.get(name):
            raise invalid(f"{where}.{name} can't be honoured here. Leave it out.", f"{where}.{name}")
    return ROLES[role]


def _text(where: str, message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and isinstance(message.get("refusal"), str):
        return str(message["refusal"])
    if content is None and message["role"] == "assistant" and any(message.get(name) for name in THOUGHTS_BESIDE):
        return ""  # an answer of thoughts alone, which clients keep
    if not isinstance(content, list) or not content:
        raise invalid(f"{where}.content must be a text, or a list of at least one text part.", f"{where}.content")
    if message["role"] == "assistant":
        content = [part for part in content if not _is_thought(part)]
    return "\n".join(_part(f"{where}.content", part) for part in content)


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in THOUGHTS


def _part(where: str, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in TEXT_PARTS:
        raise invalid(f"{where} holds a part of the type {kind!r:.60}. This model reads text alone.", where)
    text = part.get(TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise invalid(f"{where} holds a part of the type {kind} without its text.", where)
    return text
