"""How long a start takes, stage by stage."""

import time
from collections.abc import Callable


class Stages:
    """The stages of a start: a line for each with the time it took, and one line for all at the end."""

    def __init__(self, say: Callable[[str], None], before: float = 0.0) -> None:
        """`before`: seconds that Cog's server has taken to get here."""
        self._say = say
        self._since = time.perf_counter()
        self._seconds = {"server": before} if before else {}

    def done(self, name: str, text: str) -> None:
        now = time.perf_counter()
        self._seconds[name] = now - self._since
        self._say(f"{text} ({self._seconds[name]:.1f} s)")
        self._since = now

    def end(self) -> None:
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._seconds.items())
        self._say(f"ready after {sum(self._seconds.values()):.1f} s: {stages}")
