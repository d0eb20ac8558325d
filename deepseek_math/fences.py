"""Fenced blocks in a completion: where a program begins and ends, and what is the model's own prose.

A program's block opens with "```python", or as models also write it "```py" or "```Python", with nothing but its name
on the rest of the line. A fence closes a block at a line's start or end, blanks aside: one in a string of the program
does not. The published scripts know "```python" alone and end a block at the next "```", wherever it stands.
"""

import re

FENCE = "```"
OUTPUT = "```output"

OPENING = re.compile(r"```(?:python|py)3?[^\S\n]*\n", re.IGNORECASE)
CLOSING = re.compile(rf"^[^\S\n]*{FENCE}|{FENCE}[^\S\n]*\n", re.MULTILINE)
_BLOCK = re.compile(rf"(?:{OPENING.pattern}|^{OUTPUT}[^\S\n]*\n)(?s:.*?)(?:{CLOSING.pattern}|\Z)", re.I | re.M)


def prose(text: str) -> str:
    """The text with an empty fence in place of every program and output, also of one that is still open."""
    return _BLOCK.sub(f"\n{FENCE}\n", text)
