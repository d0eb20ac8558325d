"""Ends a streamed text at the first stop string, wherever the chunks break."""

from typing import Protocol


class Stops(Protocol):
    """Lets text through up to where it ends; `hit` says what ended it."""

    @property
    def hit(self) -> str | None: ...

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now. After a hit there is nothing more to show."""
        ...

    def flush(self) -> str:
        """The text still held back: call it when the model has ended by itself."""
        ...


class StopStrings:
    """Lets text through until a stop string is complete; no part of a stop string is ever let through.

    The result depends on the whole text alone, never on its chunks: the string that is complete first wins, and
    of two that end at the same character the longer one.
    """

    def __init__(self, strings: tuple[str, ...]) -> None:
        self._strings = strings
        self._held = ""  # text that may yet turn out to begin a stop string
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what can be shown now. After a hit there is nothing more to show."""
        if self.hit is not None:
            return ""
        text = self._held + text
        found = [(text.find(string) + len(string), text.find(string), string) for string in self._strings]
        found = [match for match in found if match[1] >= 0]
        if found:
            _, start, self.hit = min(found)
            self._held = ""
            return text[:start]
        keep = max((_overlap(text, string) for string in self._strings), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """The text still held back: call it when the model has ended by itself."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of `text` that is a beginning of `string`, short of all of it."""
    longest = min(len(text), len(string) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(string[:length])), 0)
