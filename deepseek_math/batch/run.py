"""One run over a file: what has no answer yet is asked, then all rows are written in their order."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from deepseek_math.batch import asker, output_file
from deepseek_math.batch.answered import NONE, Answered
from deepseek_math.batch.input_file import Columns
from deepseek_math.batch.question_file import Questions
from deepseek_math.batch.row import RESULTS, Row
from deepseek_math.batch.survey import Survey
from deepseek_math.batch.tally import Tally
from deepseek_math.files import replacing_file
from deepseek_math.jobs import JobError, ray_workers
from deepseek_math.jobs.asking import RETRIED
from deepseek_math.jobs.journal import Journal, Line
from deepseek_math.jobs.progress import Progress
from deepseek_math.jobs.served import Served

KIND, FORMAT = "batch", 1  # of the journal
OPTION = "-o"  # names another output, and so another journal
FAULTS_IN_A_ROW = 20  # of the service and not of the rows: it needs looking after
SERVICE_FAULTS = (*RETRIED, "engine_refused", "internal_error")


class Run:
    """The rows of a file and what the journal has of them: `answer` what is left, then `write` all.

    `failed_too` counts rows that have failed as answered. `seconds` and `tokens` are those of this call.
    """

    def __init__(self, questions: Questions, survey: Survey, journal: Journal, failed_too: bool) -> None:
        self._questions, self._survey, self._journal = questions, survey, journal
        self._answered = Answered(survey.keys, survey.faulty)
        if journal.header:
            self._answered.find(journal.lines(), failed_too)
        self._faults = 0  # of the service, in a row
        self.seconds = 0.0
        self.tokens = 0

    @property
    def left(self) -> int:
        """Rows that have no answer yet."""
        return len(self._survey.keys) - self._answered.count

    def answer(self, served: Served, urls: Sequence[str], workers: int | None, in_flight: int) -> None:
        """Asks the rows that are left. Raises JobError; what was answered is kept."""
        unknown = sorted(self._survey.inputs - served.inputs)
        if unknown:
            raise JobError(f"The service has no input {', '.join(unknown)}, which the rows need.")
        total, count = len(self._survey.keys), self._answered.count
        progress = Progress(Path(self._questions.name).name, total, count, self._answered.with_answer, "with an answer")
        started = time.monotonic()
        try:
            if workers:
                items = [asker.packed(row) for row in self._rows_left()]
                for line in ray_workers.answers(asker.RowAsker(), items, "row", urls, served, workers, in_flight):
                    self._keep(line, progress)
            else:
                asyncio.run(self._answer_here(urls, in_flight, progress))
        finally:
            progress.close()
            self.seconds = time.monotonic() - started

    async def _answer_here(self, urls: Sequence[str], in_flight: int, progress: Progress) -> None:
        async with aclosing(asker.answers(self._rows_left(), urls, in_flight)) as lines:
            async for line in lines:
                self._keep(line, progress)

    def _rows_left(self) -> Iterator[Row]:
        for number, row in enumerate(islice(self._questions.rows(), len(self._survey.keys))):
            if self._answered.place(number) == NONE:
                yield row

    def _keep(self, line: Line, progress: Progress) -> None:
        has_answer = line["answer"] is not None
        self._answered.put(line["row"] - 1, self._journal.add(line), has_answer)
        progress.add(has_answer)
        self.tokens += line["completion_tokens"] or 0
        self._faults = self._faults + 1 if line["error_code"] in SERVICE_FAULTS else 0
        if self._faults >= FAULTS_IN_A_ROW:
            raise JobError(
                f"{self._faults} rows in a row failed by a fault of the service ({line['error_code']}: "
                f"{line['error']}). Look after it; the same command goes on, and tries these rows again."
            )

    def write(self, output: Path, format: str, schema: object) -> Tally:
        """Writes all rows, whole or not at all. Raises JobError where the file of questions has changed meanwhile."""
        new = [self._questions.form.prefix + name for name in RESULTS]
        names = dict.fromkeys([*self._survey.columns, *new])
        tally = Tally()
        with replacing_file(output) as part:
            output_file.write(part, format, list(names), schema, self._written(tally))
        return tally

    def _written(self, tally: Tally) -> Iterator[Columns]:
        assert self._journal.header is not None
        checkpoint = self._journal.header["checkpoint"]
        number = -1
        with self._journal.file.open("rb") as lines:
            for number, row in enumerate(self._questions.rows()):
                if number >= len(self._survey.keys) or row.key != self._survey.keys[number]:
                    raise JobError(self._changed())
                if row.fault:
                    line = asker.line_of(row, {"error_code": row.fault.code, "error": row.fault.message})
                else:
                    lines.seek(self._answered.place(number))
                    line = json.loads(lines.readline())
                line["row"] = row.number  # it may have stood elsewhere when it was answered
                tally.add(line)
                yield self._questions.form.written(row.columns, line, checkpoint)
        if number + 1 < len(self._survey.keys):
            raise JobError(self._changed())

    def _changed(self) -> str:
        return f"{self._questions.name} was changed while its rows were answered. The same command goes on with it."
