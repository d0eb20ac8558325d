"""Text of a model, of a program that it wrote or of a stranger's file or server, on its way to a terminal."""

import sys
import unicodedata

KEPT = "\n\t"
# They change the order in which a terminal shows characters, so that a text reads as another one.
DIRECTIONS = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


def printable(text: str) -> str:
    """`text` without control characters: some clear the screen, go back in the line, or fill the clipboard.

    Half a UTF-16 pair, which is no text and can't be printed, becomes a question mark.
    """
    shown = "".join(letter for letter in text if letter in KEPT or not _acts(letter))
    return shown.encode(errors="replace").decode()


def say(line: str) -> None:
    """A line for the person who waits, on standard error: results alone go to standard output."""
    print(printable(line), file=sys.stderr, flush=True)


def clause(text: str) -> str:
    """Another's words on one line, as a part of a sentence that has an end of its own."""
    return " ".join(text.split()).rstrip(".!?:;,")


def _acts(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" or letter in DIRECTIONS
