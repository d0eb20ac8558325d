"""Where in the journal each row's answer stands: 8 bytes a row, and 8 for its key."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator

from deepseek_math.jobs import JobError
from deepseek_math.jobs.journal import Line

NONE, FAULTY = -1, -2  # places of a row without an answer, and of one that is never asked


class Answered:
    """Rows count from 0 here. A row is found by what it asks, so one that was moved keeps its answer."""

    def __init__(self, keys: "array[int]", faulty: Iterable[int] = ()) -> None:
        self._keys = keys
        self._places = array("q", [NONE]) * len(keys)
        self.count = 0
        self.with_answer = 0
        for number in faulty:
            self.put(number, FAULTY, False)

    def find(self, lines: Iterable[tuple[int, Line]], failed_too: bool) -> None:
        """Takes the answers of earlier calls; of those that failed only if told. Raises JobError for damaged lines."""
        moved: dict[int, list[tuple[int, bool]]] = defaultdict(list)
        for place, line in lines:
            try:
                key, number = int(line["key"], 16), line["row"] - 1
                failed, answer = bool(line["error_code"]), line["answer"] is not None
            except (KeyError, TypeError, ValueError) as error:
                raise JobError(f"The journal is damaged at byte {place}: no answer of a row ({error}).") from error
            if failed and not failed_too:
                continue
            if 0 <= number < len(self._keys) and self._keys[number] == key:
                self.put(number, place, answer)
            else:
                moved[key].append((place, answer))
        if moved:
            for number in self.left():
                found = moved.get(self._keys[number])
                if found:  # the last line counts: a row that failed may have been tried again
                    self.put(number, *found.pop())

    def put(self, number: int, place: int, with_answer: bool) -> None:
        """The row has its line at `place`; a first one counts."""
        if self._places[number] == NONE:
            self.count += 1
            self.with_answer += with_answer
        self._places[number] = place

    def left(self) -> Iterator[int]:
        """Rows without an answer, in their order."""
        return (number for number, place in enumerate(self._places) if place == NONE)

    def place(self, number: int) -> int:
        """NONE or FAULTY where the row has no line."""
        return self._places[number]
