r"""How an answer is spelled: its characters become tokens, and what is typography only is gone.

    >>> key(r"\left( \dfrac{1}{2},\, 10{,}080 \right)") == key(r"(\frac{1}{2}, 10080)")
    True

A number is one token with its exact value, however it is written: `10,\!080`, `1'000`, `0.\overline{3}`, `1.5e3`.
A bracket is one token that holds what stands inside it, so everything that reads tokens sees one level at a time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from deepseek_math.answers.folding import fold

DEPTH = 40  # brackets in brackets; what is deeper is compared as text
MAX_POWER = 3000  # largest power of ten in `1e3000`
MAX_PERIOD = 60  # digits before the dots of `0.1666...` in which a period is sought

Kind = Literal["number", "word", "han", "command", "sign", "group"]
ROUND, SQUARE, BRACES, SET = "( )", "[ ]", "{ }", r"\{ \}"


class Unreadable(ValueError):
    """The text is not an answer in the notation that is read here."""


@dataclass(frozen=True, slots=True)
class Token:
    """A number, a word, a sign or a bracket. `text` is its one spelling: of a bracket its two ends or its name."""

    kind: Kind
    text: str
    parts: "tuple[Token, ...]" = ()
    value: Fraction | None = None
    spaced: bool = field(default=False, compare=False)  # a blank stands before it
    upright: bool = field(default=False, compare=False)  # it stood in \text{...}


Tokens = tuple[Token, ...]

_THREE = r"\d{3}(?!\d)"
_HARD = rf"(?: (?: ,?\s?\\!\s* | \{{,\}} | ,\\[,;] | \\text\{{,\}} | \\[,;\ ] | ' | _ ) {_THREE} )+"
_SOFT = rf"(?: {_HARD} | (?: ,{_THREE} )+ (?!,\d) | (?: \ {_THREE} )+ )"
_ZERO = rf"(?: {_HARD} | (?: ,{_THREE} )*? ,0\d\d(?!\d) (?: ,{_THREE} )* )"
_AGAIN = r"""(?: \\(?:overline|bar|dot)\s*\{?(?P<again>\d+)\}? (?: (?P<between>\d*)\\dot\s*\{?(?P<last>\d)\}? )?
    | \((?P<round>\d+)\) | (?P<dots> \.\.\. | \\[lc]?dots(?![A-Za-z]) ) )"""
_GERMAN = r"(?P<german> [1-9]\d{0,2} (?: (?:\.\d{3})+ ,\d\d? | (?:\.\d{3}){2,} ) (?!\d|[.,]\d) )"


def _number(thousands: str, german: str) -> re.Pattern[str]:
    whole = rf"(?P<whole> [1-9]\d{{0,2}} {thousands} | \d+ | (?=\.\d) )"
    power = r"(?: [eE](?P<power>[-+]?\d{1,4})(?!\w|\.\d) )?"
    return re.compile(rf"(?x) {german} | {whole} (?: \.(?!\.)(?P<decimals>\d*) {_AGAIN}? )? {power}")


_OUTSIDE = _number(_SOFT, _GERMAN)  # of brackets: `1,000` is a number there, `(100,200)` is a pair
_INSIDE = _number(_ZERO, "(?P<german>(?!))")
_LEXEME = re.compile(
    r"""(?x) (?P<blank> \s+ | \\[,;:>/\s] | \\q?quad(?![A-Za-z]) | ~ )
    | (?P<nothing> [$`] | \\[()\[\]!] )
    | (?P<row> \\\\(?:\\\\)?\s*(?:\[[\d.\s]*[a-z]+\])? | \\cr(?![A-Za-z]) )
    | (?P<environment> \\(?P<edge>begin|end)\s*\{(?P<name>[a-zA-Z]+)\*?\} (?: (?<=array\})\s*\{[^{}]*\} )? )
    | (?P<set> \\math(?:bb|ds) (?: \s*(?P<letter>[RZNQC]) | \s*\{\s*(?P<braced>[RZNQC])\s*\} )
        | \\mathbf\s*\{(?P<bold>[RZNQ])\} )
    | (?P<dropped> \\(?:color|textcolor|colorbox|tag|label|[hv]space|[hv]?phantom)\*?\s*\{[^{}]*\}
        | \\(?: left|right|middle|[bB]igg?[lr]?|(?:display|text|script)style|(?:no)?limits|tiny|small|normalsize
        | [lL]arge|LARGE|[hH]uge|bfseries|centering|hfill|vec|overrightarrow|nonumber|notag )(?![A-Za-z]) )
    | (?P<wrapper> \\(?: (?P<upright> text(?:bf|rm|it|normal|sf|tt)?|mbox|hbox|mathrm|operatorname )
        | boxed|fbox|framebox|underline|math(?:bf|it|cal|sf)|boldsymbol|bm|emph|underbrace )\s*(?:\[[^\]]*\])?\{ )
    | (?P<matrix> \\[pbv]?matrix\s*\{ )
    | (?P<font> \\(?:rm|bf|it|sf|tt|em)(?![A-Za-z]) )
    | (?P<word> (?:or|and)(?=[A-Z]|[a-z]\s*[=<>(]) | [A-Za-z]+ )
    | (?P<han> [\u4e00-\u9fff]+ )
    | (?P<command> \\[A-Za-z]+ | \\. )
    | (?P<sign> [<>!=]= | => | =< | \*\* | \.\.\. | . )""",
    re.DOTALL,
)
_ALIASES = {
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac"), r"\frac"),
    **dict.fromkeys((r"\dbinom", r"\tbinom"), r"\binom"),
    **dict.fromkeys((r"\leq", r"\leqslant", r"\leqq", "<=", "=<"), r"\le"),
    **dict.fromkeys((r"\geq", r"\geqslant", r"\geqq", ">=", "=>"), r"\ge"),
    **dict.fromkeys((r"\times", r"\cdot", r"\ast"), "*"),
    **dict.fromkeys((r"\ldots", r"\dots", r"\cdots"), "..."),
    **dict.fromkeys((r"\mid", r"\vert", r"\lvert", r"\rvert"), "|"),
    **dict.fromkeys((r"\backslash", r"\smallsetminus"), r"\setminus"),
    **{r"\neq": r"\ne", "!=": r"\ne", "==": "=", "**": "^", r"\div": "/", r"\lt": "<", r"\gt": ">", r"\colon": ":"},
    **{r"\%": "%", r"\_": "_", r"\&": "&", r"\#": "#", r"\varnothing": r"\emptyset", r"\varphi": r"\phi"},
    **{r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\doteq": r"\approx"},
    **{r"\lor": "or", r"\vee": "or", r"\land": "and", r"\wedge": "and", r"\R": r"\mathbb{R}", r"\Z": r"\mathbb{Z}"},
    **{r"\imath": "i", r"\jmath": "j"},
}
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"}
_OPENED_BY = {
    **{")": {"(", "["}, "]": {"(", "["}},  # `[0,1)` is a bracket
    **{"}": {"{", r"\text", r"\plain", "begin {"}, r"\}": {r"\{"}, r"\rangle": {r"\langle"}},
    **{r"\rfloor": {r"\lfloor"}, r"\rceil": {r"\lceil"}},
}
_ENVIRONMENTS = {
    **dict.fromkeys(("matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "psmallmatrix", "array"), "matrix"),
    **{"vmatrix": "determinant", "cases": "cases", "rcases": "cases", "dcases": "cases"},
}
_ARGUMENTS = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1, "^": 1, "_": 1}


def key(text: str) -> str:
    """Two texts with the same key are the same answer: the one spelling of their tokens."""
    try:
        return spelled(tokenize(text))
    except Unreadable:
        return " ".join(text.replace("$", " ").split())


def spelled(tokens: Iterable[Token]) -> str:
    """The tokens as one text, with a blank only where two of them would run together."""
    text, argument = "", False
    for token in tokens:
        piece = _spelled_group(token, argument) if token.kind == "group" else token.text
        argument = token.kind == "command" or token.text in {"^", "_"}
        if text[-1:].isalnum() and piece[:1].isalnum() and text[-1].isdigit() == piece[0].isdigit():
            text += " "
        text += piece
    return text


def _spelled_group(group: Token, argument: bool) -> str:
    """`^{x}` and `^{(x)}` are `^x`; other braces stay, as `{1,2}` may be a set."""
    parts = group.parts
    opening, _, closing = group.text.partition(" ")
    if group.text != BRACES:
        return f"{opening}{spelled(parts)}{closing}" if closing else f"{opening}({spelled(parts)})"
    while len(parts) == 1 and parts[0].text in {ROUND, BRACES}:
        parts = parts[0].parts
    return spelled(parts) if argument and len(parts) == 1 else f"{{{spelled(parts)}}}"


def split(tokens: Tokens, signs: set[str]) -> list[Tokens]:
    """The pieces between the signs, which stand in no bracket."""
    pieces: list[Tokens] = []
    start = 0
    for at, token in enumerate(tokens):
        if token.text in signs and token.kind != "group":
            pieces.append(tokens[start:at])
            start = at + 1
    return [*pieces, tokens[start:]]


def tokenize(text: str) -> Tokens:
    """The tokens of a text. Raises Unreadable where brackets do not match or are nested deeper than DEPTH."""
    return _Tokenizer(fold(text)).tokens()


@dataclass(slots=True)
class _Level:
    r"""An open bracket, or an open `\text{`, and the tokens in it so far."""

    opening: str
    spaced: bool = False
    tokens: list[Token] = field(default_factory=list)
    arguments: int = 0  # that the last command still waits for: `\frac12` has two, of a digit each


class _Tokenizer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._levels = [_Level("")]
        self._spaced = False

    def tokens(self) -> Tokens:
        position = 0
        while position < len(self._text):
            position = self._next(position)
        if len(self._levels) > 1:
            raise Unreadable("a bracket is never closed")
        return tuple(self._levels[0].tokens)

    def _next(self, position: int) -> int:
        """Reads one token and returns where the next one begins."""
        if self._levels[-1].arguments and (argument := self._argument_pattern().match(self._text, position)):
            value = Fraction(argument[0]) if argument[0][0].isdigit() else None
            self._add(Token("word" if value is None else "number", argument[0], value=value))
            return argument.end()
        bracketed = any(level.opening in {"(", "[", r"\{", r"\langle"} for level in self._levels)
        if number := (_INSIDE if bracketed else _OUTSIDE).match(self._text, position):
            whole = number["whole"] or ""
            text = re.sub(r"\D", "", whole) + number[0].removeprefix(whole).rstrip(".")
            self._add(Token("number", text, value=_number_value(number)))
            return number.end()
        found = _LEXEME.match(self._text, position)
        assert found is not None  # any character is a sign
        self._lexeme(found)
        return found.end()

    def _argument_pattern(self) -> re.Pattern[str]:
        r"""`x^10` has all digits for its exponent; `\frac12` and `\log_28` take one."""
        tokens = self._levels[-1].tokens
        after_log = len(tokens) > 1 and tokens[-2].text in {r"\log", "log"}
        several = tokens[-1].text == "^" or (tokens[-1].text == "_" and not after_log)
        return re.compile(r"\d+(?:\.\d+)?|[A-Za-z]" if several else r"[0-9A-Za-z]")

    def _lexeme(self, found: re.Match[str]) -> None:
        text, kind = _ALIASES.get(found[0], found[0]), found.lastgroup
        if kind == "environment":
            self._environment(found["edge"], found["name"])
        elif kind == "wrapper":
            self._open(r"\text" if found["upright"] else r"\plain")
        elif kind == "matrix":
            self._open("begin {")
        elif kind == "font" and self._levels[-1].opening == "{":
            self._levels[-1].opening = r"\text"
        elif kind == "set":
            self._add(Token("command", rf"\mathbb{{{found['letter'] or found['braced'] or found['bold']}}}"))
        elif text in _OPENING:
            self._open(text)
        elif text in _OPENED_BY:
            self._close(text)
        elif kind in {"word", "han", "command", "sign", "row"} and (text != "&" or "begin" in self._levels[-1].opening):
            kinds: dict[str, Kind] = {"word": "word", "han": "han", "command": "command"}
            kind = "word" if text.isalpha() and text.isascii() else kind
            self._add(Token(kinds.get(kind, "sign"), r"\\" if kind == "row" else text))
        else:
            self._spaced = True

    def _add(self, token: Token) -> None:
        level = self._levels[-1]
        upright = any(level.opening == r"\text" for level in self._levels)
        level.tokens.append(replace(token, spaced=self._spaced, upright=upright))
        self._spaced = False
        if token.text in _ARGUMENTS:
            level.arguments = _ARGUMENTS[token.text]
        elif level.arguments and token.text not in {"-", "+", SQUARE}:  # x^-2, \sqrt[3]{8}
            level.arguments -= 1

    def _open(self, opening: str) -> None:
        self._levels.append(_Level(opening, self._spaced))
        self._spaced = opening == r"\text"
        if len(self._levels) > DEPTH:
            raise Unreadable("nested too deeply")

    def _close(self, closing: str) -> None:
        r"""Ends a bracket; the braces of `\text{}` and of `\boxed{}` leave no trace but where they are an argument."""
        level = self._levels.pop()
        if level.opening not in _OPENED_BY[closing]:
            raise Unreadable("brackets do not match")
        wrapped = level.opening in {r"\text", r"\plain"}
        if wrapped and not self._levels[-1].arguments:
            self._levels[-1].tokens.extend(level.tokens)
            self._spaced = level.opening == r"\text"
            return
        ends = {r"\text": BRACES, r"\plain": BRACES, "begin {": "matrix"}.get(
            level.opening, f"{level.opening} {closing}"
        )
        self._spaced = level.spaced
        self._add(Token("group", ROUND if ends == r"\langle \rangle" else ends, tuple(level.tokens)))

    def _environment(self, edge: str, name: str) -> None:
        """A matrix is a bracket of its own; the lines of other environments are read as a list."""
        opening = f"begin {name}"
        if edge == "begin":
            self._open(opening)
            return
        level = self._levels.pop()
        if level.opening != opening:
            raise Unreadable("an environment is never ended")
        if name in _ENVIRONMENTS:
            self._spaced = level.spaced
            self._add(Token("group", _ENVIRONMENTS[name], tuple(level.tokens)))
        else:
            self._levels[-1].tokens.extend(token for token in level.tokens if token.text != "&")


def _number_value(found: re.Match[str]) -> Fraction:
    r"""The exact value of a number: `0.1\overline{6}` and `0.1666...` are 1/6."""
    if found["german"]:
        return Fraction(found["german"].replace(".", "").replace(",", "."))
    whole, decimals = re.sub(r"\D", "", found["whole"]) or "0", found["decimals"] or ""
    again = (found["again"] or found["round"] or "") + (found["between"] or "") + (found["last"] or "")
    if found["dots"]:
        repeated = re.fullmatch(r"(\d*?)(\d+?)\2+", decimals) if len(decimals) <= MAX_PERIOD else None
        if repeated is None:
            raise Unreadable("digits that go on, but not how")
        decimals, again = repeated.groups()
    value = Fraction(f"{whole}.{decimals}0")
    if again:
        value += Fraction(int(again), 10 ** len(decimals) * (10 ** len(again) - 1))
    return value * Fraction(10) ** max(-MAX_POWER, min(MAX_POWER, int(found["power"] or 0)))
