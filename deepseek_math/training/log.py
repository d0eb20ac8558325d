"""A run's log: a JSON object a line, each with its `step` and the `seconds` since the run began."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepseek_math.files import write_whole

Line = dict[str, Any]


def lines(path: Path) -> list[Line]:
    """All lines of a log; none where the file does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


class Log:
    """Continues after `step`. Lines that an earlier start wrote of later steps are removed: those steps come again."""

    def __init__(self, path: Path, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept: list[Line] = []
        if step > 0:
            kept = [line for line in lines(path) if line["step"] <= step]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
        spent = max((line.get("seconds", 0.0) for line in kept), default=0.0)
        self._path = path
        self._start = time.monotonic() - spent

    def write(self, line: Mapping[str, Any]) -> Line:
        """Adds a line with the seconds of all starts together, and returns it."""
        whole = dict(line) | {"seconds": round(time.monotonic() - self._start, 1)}
        with self._path.open("a") as file:
            file.write(json.dumps(whole) + "\n")
        return whole
