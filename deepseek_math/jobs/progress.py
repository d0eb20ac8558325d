"""How far a run is: on a terminal a bar with a share and the time left, else a line now and then."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 10.0  # between two lines where there is no terminal


class Progress:
    """Counts what is answered; `hits` of it are what `share` names, such as "accuracy" or "with an answer"."""

    def __init__(self, title: str, total: int, answered: int, hits: int, share: str) -> None:
        self._title, self._total, self._hits, self._share = title, total, hits, share
        self._answered = self._answered_before = answered
        self._started = self._last_line = time.monotonic()
        self._bar: tqdm | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=answered, desc=title, unit="row")

    def add(self, hit: bool) -> None:
        self._answered += 1
        self._hits += hit
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self._shown_share(), refresh=False)
            self._bar.update()
        elif now - self._last_line >= LINE_SECONDS or self._answered == self._total:
            self._last_line = now
            print(self.line(now - self._started), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """`seconds` after the start of this call of the command, which may go on with an earlier one."""
        seconds_each = seconds / max(1, self._answered - self._answered_before)
        left = seconds_each * (self._total - self._answered)
        time_left = f"{int(left // 60)}:{int(left % 60):02} left"
        return f"{self._title}: {self._answered} of {self._total}, {self._shown_share()}, {time_left}"

    def _shown_share(self) -> str:
        return f"{self._share} {self._hits / max(1, self._answered):.1%}"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
