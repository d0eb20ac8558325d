"""A conversation as far as it has come: its turns, the inputs that hold for all of them, and what fits the context."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepseek_math.files import write_whole
from deepseek_math.request import Request

ALONE = ("raw", "fewshot")  # modes whose prompt is one text, with no place for earlier turns
OWN = ("prompt", "messages")  # inputs that the conversation itself sets
SHOWN = 40  # characters of a question in a list


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer, which may have been stopped."""

    question: str
    answer: str

    @property
    def characters(self) -> int:
        return len(self.question) + len(self.answer)

    @property
    def title(self) -> str:
        line = " ".join(self.question.split())
        return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, oldest first, and inputs by name. Each change makes another conversation."""

    turns: tuple[Exchange, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        return str(self.settings.get("mode", "auto"))

    @property
    def stands_alone(self) -> bool:
        """Whether each question is put without those before it."""
        return self.mode in ALONE

    def inputs(self, question: str) -> dict[str, Any]:
        """What is sent for a question. Raises ServiceError where it would be refused at once."""
        messages = [] if self.stands_alone else self.messages
        inputs = {**self.settings, "prompt": question, **({"messages": messages} if messages else {})}
        Request.checked(**inputs)
        return inputs

    @property
    def messages(self) -> list[dict[str, str]]:
        found = []
        for turn in self.turns:
            found.append({"role": "user", "content": turn.question})
            found.append({"role": "assistant", "content": turn.answer})
        return found

    def having(self, settings: dict[str, Any]) -> "Conversation":
        """The same with these inputs changed; None takes one back to its default. Raises ServiceError."""
        changed = {name: value for name, value in {**self.settings, **settings}.items() if value is not None}
        Request.checked(prompt="?", **changed)
        return replace(self, settings=changed)

    def answered(self, question: str, answer: str) -> "Conversation":
        """The same and this turn."""
        return replace(self, turns=(*self.turns, Exchange(question, answer)))

    def without_oldest(self, count: int) -> "Conversation":
        return replace(self, turns=self.turns[count:])

    def without_last(self) -> "Conversation":
        return replace(self, turns=self.turns[:-1])

    def too_many(self, question: str, prompt_tokens: int, excess: int) -> int:
        """How many of the oldest turns have to go so that a prompt of `prompt_tokens` loses `excess` of them.

        An estimate: each turn has the share of the tokens that it has of the characters.
        """
        tokens_a_character = prompt_tokens / (sum(turn.characters for turn in self.turns) + len(question))
        for count in range(1, len(self.turns)):
            if sum(turn.characters for turn in self.turns[:count]) * tokens_a_character >= excess:
                return count
        return len(self.turns)

    def save(self, file: Path) -> None:
        """Writes messages and settings as JSON, as the API takes them. Raises OSError; replaces no file."""
        if file.exists():
            raise FileExistsError(f"{file} is there already. Name another file.")
        content = {"input": {**self.settings, "messages": self.messages}}
        write_whole(file, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
