"""How far a run is: a bar with the running accuracy and the time left on a terminal, else a line now and then."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 10.0  # between two lines where there is no terminal


class Progress:
    """Counts answered questions; `correct` of them are right by the grader that decides."""

    def __init__(self, title: str, total: int, answered: int, correct: int) -> None:
        self._total, self._answered, self._correct = total, answered, correct
        self._title = title
        self._begun = self._said = time.monotonic()
        self._before = answered
        self._bar = tqdm(total=total, initial=answered, desc=title, unit="q") if sys.stderr.isatty() else None

    def add(self, correct: bool) -> None:
        self._answered += 1
        self._correct += correct
        if self._bar is not None:
            self._bar.set_postfix_str(f"accuracy {self._correct / self._answered:.1%}", refresh=False)
            self._bar.update()
        elif time.monotonic() - self._said >= LINE_SECONDS or self._answered == self._total:
            self._said = time.monotonic()
            print(self.line(self._said - self._begun), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """`seconds` after the start of this run, which is not the first where a run is resumed."""
        left = seconds / max(1, self._answered - self._before) * (self._total - self._answered)
        minutes = f"{int(left // 60)}:{int(left % 60):02}"
        accuracy = self._correct / max(1, self._answered)
        return f"{self._title}: {self._answered} of {self._total}, accuracy {accuracy:.1%}, {minutes} left"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
