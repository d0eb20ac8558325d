"""The service's log, and what LOG_PROMPTS=0 keeps out of it: the words of prompts, completions and programs."""

import logging
import sys
import traceback

KEPT_OUT = "(kept out of the log)"


class Private:
    """Words of a client or of a model, as an argument of a log call."""

    def __init__(self, words: object) -> None:
        self._words = words

    def __str__(self) -> str:
        return str(self._words)

    def __repr__(self) -> str:
        return repr(self._words)


class WithoutWords(logging.Filter):
    """Takes private arguments out of a record, and of an exception the text, which may quote anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(KEPT_OUT if isinstance(each, Private) else each for each in record.args)
        if record.exc_info and record.exc_info[1]:
            record.exc_text, record.exc_info = _places(record.exc_info[1]), None
        return True


def begin(prompts: bool) -> None:
    """Sends the log to stdout; without `prompts` no words of clients or models."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s", force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not prompts:
        for handler in logging.getLogger().handlers:
            handler.addFilter(WithoutWords())


def _places(error: BaseException | None) -> str:
    """Where an exception was raised, of what type it is, and the same of its causes."""
    parts = []
    while error is not None:
        parts.append("".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__} {KEPT_OUT}")
        error = error.__cause__ or error.__context__
    return "\n".join(parts)
