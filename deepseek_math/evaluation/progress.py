"""How far a run is: a bar with the accuracy so far and the time left on a terminal, else a line now and then."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 10.0  # between two lines where there is no terminal


class Progress:
    """Counts answered questions; `correct` of them are right by the grader that decides."""

    def __init__(self, title: str, total: int, answered: int, correct: int) -> None:
        self._title, self._total, self._correct = title, total, correct
        self._answered = self._answered_before = answered
        self._started = self._last_line = time.monotonic()
        self._bar: tqdm | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=answered, desc=title, unit="q")

    def add(self, correct: bool) -> None:
        self._answered += 1
        self._correct += correct
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(f"accuracy {self._correct / self._answered:.1%}", refresh=False)
            self._bar.update()
        elif now - self._last_line >= LINE_SECONDS or self._answered == self._total:
            self._last_line = now
            print(self.line(now - self._started), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """`seconds` after the start of this call of the command, which may go on with an earlier one."""
        seconds_each = seconds / max(1, self._answered - self._answered_before)
        left = seconds_each * (self._total - self._answered)
        accuracy = self._correct / max(1, self._answered)
        time_left = f"{int(left // 60)}:{int(left % 60):02} left"
        return f"{self._title}: {self._answered} of {self._total}, accuracy {accuracy:.1%}, {time_left}"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
