"""Draws what a command printed as a picture of a terminal, such as the one in README.md:

make predict 2>&1 | python -m tests.support.terminal_picture "make predict" > docs/solution.svg
"""

import sys
from xml.sax.saxutils import escape

LINE, LEFT, TOP = 19, 18, 34  # pixels: the height of a line, the margins
CHARACTER = 8.0  # pixels: about the width of a character of 13 pixels
COLUMNS = 104  # longer lines are wrapped
STYLE = "font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 13px; white-space: pre"
TEXT, FAINT, COMMAND, ANSWER = "#d8dee4", "#8b949e", "#7ee787", "#ffd866"


def picture(command: str, printed: str) -> str:
    """An SVG document with `command` behind a dollar sign and what it `printed`."""
    lines = [(f"$ {command}", COMMAND)]
    for line in printed.rstrip().splitlines():
        lines += [(part, _colour(line)) for part in _wrapped(line)]
    width, height = round(COLUMNS * CHARACTER) + 2 * LEFT, TOP + LINE * len(lines)
    texts = [
        f'<text x="{LEFT}" y="{TOP + LINE * number}" fill="{colour}" xml:space="preserve">{escape(line)}</text>'
        for number, (line, colour) in enumerate(lines)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" style="{STYLE}">',
            f'<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>',
            *texts,
            "</svg>",
            "",
        ]
    )


def _wrapped(line: str) -> list[str]:
    return [line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)] or [""]


def _colour(line: str) -> str:
    """The steps of the start are faint, and what the service adds to the model's text stands out."""
    if line.endswith(" s)") or line.startswith(("checkpoint ", "sandbox: ")):
        return FAINT
    if line.startswith(("  answer ", "  correct ")) or " #" in line:
        return ANSWER
    return TEXT


if __name__ == "__main__":
    sys.stdout.write(picture(sys.argv[1], sys.stdin.read()))
