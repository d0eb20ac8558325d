"""Draws what a command printed as a picture of a terminal, such as the one in README.md:

make predict 2>&1 | python -m tests.support.terminal_picture "make predict" > docs/solution.svg
"""

import sys
from xml.sax.saxutils import escape

LINE, LEFT, TOP = 19, 18, 34  # pixels: the height of a line, the margins
CHARACTER = 8  # pixels: the width of a character of 13 pixels, rounded up
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
COLUMNS = 100  # of the terminal; longer lines go on in the next
START = ("checkpoint ", "tiny-rl knows ", "DeepSeekMath 7B is ", "ready after ")
TEXT, FAINT, COMMAND, ANSWER = "#d8dee4", "#8b949e", "#7ee787", "#ffd866"


def picture(command: str, printed: str) -> str:
    """An SVG document with `command` behind a dollar sign and what it `printed`."""
    lines = [(f"$ {command}", COMMAND)]
    for line in printed.rstrip().splitlines():
        lines += [(part, _colour(line)) for part in _parts(line)]
    width = CHARACTER * max(len(line) for line, _ in lines) + 2 * LEFT
    height = TOP + LINE * len(lines)
    document = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="{FONT}" font-size="13">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>',
    ]
    for number, (line, colour) in enumerate(lines):
        text = escape(line).replace(" ", "\N{NO-BREAK SPACE}")  # not every viewer keeps a row of blanks
        document.append(f'<text x="{LEFT}" y="{TOP + LINE * number}" fill="{colour}">{text}</text>')
    return "\n".join([*document, "</svg>", ""])


def _parts(line: str) -> list[str]:
    """The line as a terminal breaks it; an empty one stays."""
    return [line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)] or [""]


def _colour(line: str) -> str:
    """The steps of the start are faint; the answer, the check and the vote stand out."""
    if line.endswith(" s)") or line.startswith(START):
        return FAINT
    if line.startswith(("  answer ", "  correct ")) or " #" in line:
        return ANSWER
    return TEXT


if __name__ == "__main__":
    sys.stdout.write(picture(sys.argv[1], sys.stdin.read()))
