r"""Where code and formulas stand in a completion, found before Markdown takes a formula's signs for its own.

    >>> [(piece.kind, piece.content) for piece in scan("It costs $5, so $x = \\boxed{5}$.")]
    [('text', 'It costs $5, so '), ('formula', 'x = \\boxed{5}'), ('text', '.')]

Covers: fenced code and code spans, which hide what is in them; `$`, `$$`, `\(`, `\[`, also as `\\(` and `\\[`;
`\begin{align}` and its like and `\boxed{}` without delimiters; ```` ```math ```` and `` $`x`$ ``; dollar signs that are
money (see `dollars`); a text that is still arriving, whose last formula is its source until it closes.
Does not cover: commands without delimiters other than `\boxed`; environments that are no mathematics (`tabular`).

Delimiters pair within one group of braces, so those in `\text{...}` end nothing. Time is linear in the text's length.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from deepseek_math.fences import CLOSING, OPENING
from deepseek_math.page.dollars import MARKED, is_formula, may_become_one

MAX_OPEN = 5000  # characters after an opening delimiter that are its source while the closing one is awaited
MAX_INLINE = 1000  # characters between two dollar signs
_ENVIRONMENTS = (
    "align aligned alignat alignedat flalign equation gather gathered multline split eqnarray displaymath math "
    "subequations cases dcases rcases drcases array darray subarray "
    "matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix"
)
ENVIRONMENTS = frozenset(_ENVIRONMENTS.split())

_FENCE = re.compile(
    rf"^(?P<margin>[ \t>]*)(?P<fence>`{{3,}}|~{{3,}})(?P<language>[^`\n]*)(?:\n|\Z)|{OPENING.pattern}", re.I | re.M
)
_TOKEN = re.compile(
    r"""(?xsm)
    (?P<quoted> \$`[^`\n]{1,500}`\$ )
    | (?P<bracket> ^\[[ \t]*\n (?=[^\n]*[\\^]) [^\n]{1,1000} \n\][ \t]*$ )
    | (?P<tick> `+ )
    | (?P<begin> \\begin\s?\{(?P<opened>[A-Za-z]{1,20})\*?\} )
    | (?P<end> \\end\s?\{(?P<ended>[A-Za-z]{1,20})\*?\} )
    | (?P<boxed> \\{1,2}(?:boxed|fbox)(?![A-Za-z])\s?(?P<bare>-?\d[\d,.]*\d|-?\d|[A-Za-z](?![A-Za-z]))? )
    | (?P<round_twice> \\\\[()] )
    | (?P<square_twice> \\\\(?!\[\s*-?[\d.]+\s*[a-z]{2}\s*\])[\[\]] )
    | (?P<round> \\[()] )
    | (?P<square> \\[\[\]] )
    | \\[^\n]
    | (?P<brace> [{}] )
    | (?P<double> \$(?=\$) )
    | (?P<dollar> \$ )
    | (?P<blank> \n[ \t>]*(?=\n) )
    """
)
_TICKS = re.compile(r"`+")
_BLANK = re.compile(r"\n[ \t>]*(?=\n)")
_DOLLARS = re.compile(r"\$+")
_LEFT = re.compile(r"\\left\s?(?:\\[{}|]|\\[a-zA-Z]{1,10}|[(\[|.<])\s?\Z")
_RIGHT = re.compile(r"\s?\\right\s?(?:\\[{}|]|\\[a-zA-Z]{1,10}|[)\]|.>])")
_LINE_START = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])?[ \t>]*")
_COMMAND = re.compile(r"(?<!\\)\\[A-Za-z]")
_COMMAND_TWICE = re.compile(r"\\\\[A-Za-z]")
_LINE_END = re.compile(r"[.,;]?[ \t]*$", re.MULTILINE)

Kind = Literal["text", "formula", "source", "code"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text. The texts of all pieces, joined, are the whole."""

    kind: Kind  # source: mathematics that is not whole, to be shown as it was typed
    text: str
    content: str  # of a formula or code without its delimiters
    display: bool = False  # on a line of its own
    language: str = ""  # of code: the first word after its fence, in small letters
    whole: bool = True  # False for code whose fence is still open


@dataclass(slots=True)
class _Token:
    kind: str
    start: int
    end: int
    value: str
    paragraph: int
    spans: int  # spans of code before it
    partner: int | None = None  # the index of the token that closes it, in its own group of braces
    nearest: int | None = None  # the same in any group


def scan(text: str, finished: bool = True) -> list[Piece]:
    """The text in pieces. While it is not `finished`, what may still become a formula is the last piece, its source."""
    pieces: list[Piece] = []
    at = 0
    while fence := _FENCE.search(text, at):
        code = _code(text, fence)
        pieces += _Prose(text[at : fence.start()], finished=True).pieces()
        pieces.append(code)
        at = fence.start() + len(code.text)
    return pieces + _Prose(text[at:], finished).pieces()


def _code(text: str, opening: re.Match[str]) -> Piece:
    fence = opening["fence"] or "```"
    words = (opening["language"] if opening["fence"] else "python").split()
    language = words[0].lower() if words else ""
    closing = CLOSING
    if fence != "```" or language not in ("python", "py", "python3", "py3", "output"):
        closing = re.compile(rf"^[ \t>]*{fence}{fence[0]}*[ \t]*$", re.MULTILINE)
    close = closing.search(text, opening.end())
    end = close.end() if close else len(text)
    content = _without_margin(text[opening.end() : close.start() if close else end], opening["margin"] or "")
    if language == "math" and close:
        return Piece("formula", text[opening.start() : end], content.strip(), display=True)
    return Piece("code", text[opening.start() : end], content, language=language, whole=close is not None)


def _without_margin(content: str, margin: str) -> str:
    """Lines without the blanks and the quotation's marks that stood before the first one's opening."""
    if ">" in margin:
        return re.sub(r"^[ \t]*(?:>[ \t]?)+", "", content, flags=re.MULTILINE)
    return re.sub(rf"^[ \t]{{1,{len(margin)}}}", "", content, flags=re.MULTILINE) if margin else content


class _Prose:
    """Text without fenced code."""

    def __init__(self, text: str, finished: bool) -> None:
        self.text = text
        self.finished = finished
        self.line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.tokens = list(_tokens(text))
        _pair(self.tokens)

    def pieces(self) -> list[Piece]:
        found: list[Piece] = []
        done = 0
        for index, token in enumerate(self.tokens):
            if token.start < done:
                continue
            start, piece = self._beginning_at(index)
            if piece is None:
                continue
            if start > done:
                found.append(_text(self.text[done:start]))
            found.append(piece)
            done = start + len(piece.text)
        return [*found, _text(self.text[done:])] if done < len(self.text) else found

    def _beginning_at(self, index: int) -> tuple[int, Piece | None]:
        """What the token begins, and where, as `\\left` may stand before an environment."""
        token = self.tokens[index]
        start = token.start
        piece: Piece | None = None
        if token.kind == "quoted":
            piece = Piece("formula", token.value, token.value[2:-2].strip())
        elif token.kind == "bracket":
            piece = Piece("formula", token.value, token.value.strip()[1:-1].strip(), display=True)
        elif token.kind == "begin":
            start, piece = self._environment(token)
        elif token.kind == "boxed":
            piece = self._box(index)
        elif token.kind in ("round", "square"):
            piece = self._bracketed(index)
        elif token.kind in ("round_twice", "square_twice"):
            piece = self._escaped_twice(index)
        elif token.kind in ("double", "dollar"):
            piece = self._between_dollars(index)
        elif token.kind == "tick" and self._awaited(token, in_paragraph=True):
            piece = self._rest(start)
        return start, piece

    def _environment(self, token: _Token) -> tuple[int, Piece | None]:
        if token.value not in ENVIRONMENTS:
            return token.start, None
        if token.partner is None:
            return token.start, self._unclosed(token, in_paragraph=False)
        start, end = token.start, self.tokens[token.partner].end
        left = _LEFT.search(self.text, max(0, start - 20), start)
        right = _RIGHT.match(self.text, end)
        if left and not right and not self.finished and len(self.text) - end < len(r" \right \}"):
            return left.start(), self._rest(left.start())
        if left and right:
            start, end = left.start(), right.end()
        return start, self._formula(start, end, start, end, self._fills_lines(start, end))

    def _box(self, index: int) -> Piece | None:
        token = self.tokens[index]
        if token.value:
            return Piece("formula", self.text[token.start : token.end], f"\\boxed{{{token.value}}}")
        brace = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        if brace is None or brace.start != token.end or brace.value != "{":
            return self._rest(token.start) if token.end == len(self.text) and not self.finished else None
        if brace.partner is None:
            return self._unclosed(token, in_paragraph=True)
        end = self.tokens[brace.partner].end
        name = self.text[token.start : token.end].lstrip("\\").strip()
        return Piece("formula", self.text[token.start : end], f"\\{name}{self.text[token.end : end]}")

    def _bracketed(self, index: int) -> Piece | None:
        token = self.tokens[index]
        in_paragraph = token.kind == "round"
        if token.value in (")", "]"):
            return Piece("source", self.text[token.start : token.end], "")
        if token.partner is None and self._awaited(token, in_paragraph):
            return self._rest(token.start)
        partner = token.partner if token.partner is not None else token.nearest
        closer = self.tokens[partner] if partner is not None else token
        if closer.value in ("(", "[") or (in_paragraph and closer.paragraph != token.paragraph):
            return self._unclosed(token, in_paragraph)
        return self._formula(token.start, closer.end, token.end, closer.start, display=token.kind == "square")

    def _escaped_twice(self, index: int) -> Piece | None:
        r"""`\\( x \\)`: a text that went through JSON or Markdown once more. Often all its backslashes are doubled."""
        token = self.tokens[index]
        in_paragraph = token.kind == "round_twice"
        if token.value in (")", "]"):
            return None
        if token.partner is None:
            return self._rest(token.start) if self._awaited(token, in_paragraph) else None
        closer = self.tokens[token.partner]
        content = self.text[token.end : closer.start]
        if closer.value in ("(", "[") or (in_paragraph and closer.paragraph != token.paragraph):
            return None
        if token.spans != closer.spans or len(content) > MAX_OPEN or not is_formula(content, "", ""):
            return None
        piece = self._formula(token.start, closer.end, token.end, closer.start, display=not in_paragraph)
        if _COMMAND_TWICE.search(content) and not _COMMAND.search(content):
            return replace(piece, content=piece.content.replace("\\\\", "\\"))
        return piece

    def _between_dollars(self, index: int) -> Piece | None:
        token = self.tokens[index]
        double = token.kind == "double"
        if double and self.text.startswith("$$$", token.start):
            return Piece("source", _DOLLARS.match(self.text, token.start)[0], "")  # type: ignore[index]
        in_paragraph = not double
        partner = token.partner
        if partner is None or (in_paragraph and self.tokens[partner].paragraph != token.paragraph):
            if self._awaited(token, in_paragraph):
                return self._rest(token.start) if double or self._may_close(token) else None
            partner = token.nearest
        if partner is None or (in_paragraph and self.tokens[partner].paragraph != token.paragraph):
            return self._unclosed_dollar(token)
        return self._double(token, self.tokens[partner]) if double else self._single(token, self.tokens[partner])

    def _double(self, token: _Token, closer: _Token) -> Piece | None:
        start, end = token.start, closer.start + 2
        content = self.text[token.start + 2 : closer.start]
        if len(content) > MAX_OPEN:
            return Piece("source", "$$", "")
        alone = content[:1] in ("\n", "\r") or MARKED.search(content)
        if token.spans != closer.spans or not (alone or is_formula(content, "", "")):
            return Piece("source", "$$", "")
        return self._formula(start, end, start + 2, closer.start, self._fills_lines(start, end))

    def _single(self, token: _Token, closer: _Token) -> Piece | None:
        end = closer.start + 1
        if end - token.start > MAX_INLINE:
            return None
        if end == len(self.text) and not self.finished:
            return self._rest(token.start) if self._may_close(token) else None  # the next character decides
        content = self.text[token.end : closer.start]
        before = self.text[token.start - 1 : token.start] if token.start else ""
        if token.spans != closer.spans or not is_formula(content, before, self.text[end : end + 1]):
            return None
        return self._formula(token.start, end, token.end, closer.start, display=False)

    def _formula(self, start: int, end: int, inner: int, inner_end: int, display: bool) -> Piece:
        margin = _LINE_START.match(self.text, self._line_start(start), start)
        content = _without_margin(self.text[inner:inner_end], ">" if margin and ">" in margin[0] else "")
        kind: Kind = "formula" if content.strip() else "source"
        return Piece(kind, self.text[start:end], content.strip(), display)

    def _fills_lines(self, start: int, end: int) -> bool:
        """Whether nothing but a list's or a quotation's marks stands beside it in its first and its last line."""
        before = _LINE_START.fullmatch(self.text, self._line_start(start), start)
        return before is not None and _LINE_END.match(self.text, end) is not None

    def _line_start(self, at: int) -> int:
        return self.line_starts[bisect_right(self.line_starts, at) - 1]

    def _awaited(self, token: _Token, in_paragraph: bool) -> bool:
        """Whether what closes it may still arrive."""
        if self.finished or len(self.text) - token.start > MAX_OPEN:
            return False
        return not in_paragraph or token.paragraph == self.tokens[-1].paragraph

    def _may_close(self, token: _Token) -> bool:
        return may_become_one(self.text[token.end :])

    def _rest(self, start: int) -> Piece:
        return Piece("source", self.text[start:], "")

    def _unclosed(self, token: _Token, in_paragraph: bool) -> Piece:
        """Its source, up to the next delimiter or blank line once the text is whole."""
        if self._awaited(token, in_paragraph):
            return self._rest(token.start)
        return Piece("source", self.text[token.start : self._next_start(token)], "")

    def _unclosed_dollar(self, token: _Token) -> Piece | None:
        end = self._next_start(token)
        content = self.text[token.end : end]
        if MARKED.search(content) and not content[:1].isdigit() and may_become_one(content):
            return Piece("source", self.text[token.start : end], "")
        return Piece("source", "$$", "") if token.kind == "double" else None

    def _next_start(self, token: _Token) -> int:
        first = bisect_right(self.tokens, token.start + 1, key=lambda other: other.start)
        for index in range(first, len(self.tokens)):
            if self.tokens[index].kind not in ("brace", "end", "tick", "round_twice", "square_twice"):
                return self.tokens[index].start
        return len(self.text)


def _text(text: str) -> Piece:
    return Piece("text", text, text)


def _tokens(text: str) -> Iterator[_Token]:
    spans_end = _code_spans(text)
    paragraph = spans = at = 0
    while found := _TOKEN.search(text, at):
        at = spans_end.get(found.start(), found.end())
        kind = found.lastgroup
        if kind is None:
            continue
        if at > found.end():
            kind = "code"
        paragraph += kind == "blank"
        spans += kind == "code"
        value = found["opened"] or found["ended"] or found["bare"] or found[0]
        if kind.startswith(("round", "square")):
            value = found[0][-1]
        if kind == "boxed":
            value = found["bare"] or ""
        yield _Token(kind, found.start(), found.end(), value, paragraph, spans)


def _code_spans(text: str) -> dict[int, int]:
    """Where each span of code begins and ends: at the next backticks, as many, of its paragraph."""
    blanks = [found.start() for found in _BLANK.finditer(text)]
    closing: dict[tuple[int, int], int] = {}
    ends = {}
    for ticks in reversed(list(_TICKS.finditer(text))):
        key = (len(ticks[0]), bisect_right(blanks, ticks.start()))
        if key in closing:
            ends[ticks.start()] = closing[key]
        closing[key] = ticks.end()
    return ends


def _pair(tokens: list[_Token]) -> None:
    """Braces with braces, environments with their ends, and each delimiter with the next of its kind."""
    groups: list[int] = []
    braces: list[int] = []
    environments: dict[str, list[int]] = {}
    for index, token in enumerate(tokens):
        if token.kind == "brace" and token.value == "{":
            braces.append(index)
        elif token.kind == "brace" and braces:
            tokens[braces.pop()].partner = index
        elif token.kind == "begin":
            environments.setdefault(token.value, []).append(index)
        elif token.kind == "end" and environments.get(token.value):
            tokens[environments[token.value].pop()].partner = index
        groups.append(braces[-1] if braces else -1)
    next_in_group: dict[tuple[int, str], int] = {}
    next_anywhere: dict[str, int] = {}
    for index in reversed(range(len(tokens))):
        token = tokens[index]
        if token.kind not in ("dollar", "double", "round", "square", "round_twice", "square_twice"):
            continue
        token.partner = next_in_group.get((groups[index], token.kind))
        token.nearest = next_anywhere.get(token.kind)
        for kind in (token.kind, "dollar") if token.kind == "double" else (token.kind,):
            next_in_group[groups[index], kind] = index
            next_anywhere[kind] = index
