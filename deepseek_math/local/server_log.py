"""What Cog's server writes to its log, for people: coglet writes each line as a JSON object."""

import json
from pathlib import Path
from typing import Any

from deepseek_math.terminal import printable

SETUP = "coglet::setup"  # the target of what a Predictor prints in setup()
TRACEBACK = "Traceback (most recent call last):"
SENTENCE = "ServiceError: "  # what a traceback's last line puts before the message


class ServerLog:
    """Reads the log at `path` while the server writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0  # bytes
        self._failed = False

    def setup_lines(self) -> list[str]:
        """What the Predictor's setup has printed since the last call; nothing from a traceback on (see `fault`).

        NOTE: /health-check has these lines only once setup has ended, and a download may take an hour.
        """
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole + newline)
        said = []
        for line in whole.decode(errors="replace").splitlines():
            entry = _entry(line)
            if entry.get("target") == SETUP and entry["fields"].get("source") == "Stdout":
                text = str(entry["fields"].get("message", ""))
                self._failed = self._failed or text == TRACEBACK
                said += [] if self._failed else [printable(text)]
        return said

    def fault(self) -> str:
        """Why setup failed: the service's own sentence where it has one, else the end of the log.

        The last one: in a traceback the others led to it.
        """
        said = [line.partition(SENTENCE)[2] for line in self._messages() if SENTENCE in line]
        return said[-1] if said else f"Setup failed.\n{self.tail()}"

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self._messages()[-lines:])

    def _messages(self) -> list[str]:
        lines = self.path.read_text(errors="replace").splitlines()
        return [printable(str(_entry(line).get("fields", {}).get("message", line))) for line in lines]


def _entry(line: str) -> dict[str, Any]:
    """The line's object; empty where it is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and isinstance(entry.get("fields"), dict) else {}
