r"""How an answer reads: its structure (list, interval, matrix, relation, quantity, text) before any algebra.

math-verify and the published grader lose structure (`(1,2)` and `[1,2]`, a set and its subset, `5 cm` and `5 m`), so
it is read here, in plain Python, and only expressions at its leaves are left to algebra (equivalence/worker.py).

Covers: LaTeX, plain and full-width notation, English and Chinese units and words.
Does not cover: conversion of units (`1 m` is not `100 cm`), numbers written as words (五, "five").
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from deepseek_math.answers.spelling import key, quantity

DEPTH = 12  # levels of lists in lists; what is deeper is compared as text

Kind = Literal["choice", "text", "value", "list", "row", "matrix", "union", "relation", "named"]


@dataclass(frozen=True, slots=True)
class Node:
    """One level of an answer. What `text` and `parts` hold depends on the kind:

    choice: the letter, and what stands beside it. text: words. value: LaTeX of an expression, `unit` beside it.
    list: unordered parts. row: ordered parts, and its brackets. matrix: rows. union: intervals or sets.
    relation: the sign, left and right. named: the name, and what is said to equal it.
    """

    kind: Kind
    text: str = ""
    parts: "tuple[Node, ...]" = ()
    unit: str = ""


_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPEN = {"(", "[", "{", r"\{", r"\begin", r"\langle"}
_CLOSE = {")", "]", "}", r"\}", r"\end", r"\rangle"}
_COMMAS = frozenset({",", ";", r"\lor"})
_AND = re.compile(r"(?i)\s*(?:,\s*)?(?:\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|或者?|以及|和|及)\s*")
_RELATIONS = frozenset({"=", "<", ">", r"\lt", r"\gt", r"\le", r"\ge", r"\ne", r"\approx", r"\equiv", r"\in"})


def _levels(text: str) -> Iterator[tuple[int, str, int]]:
    """Tokens with where they begin and how deep in brackets they stand (a bracket itself stands outside)."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth -= token[0] in _CLOSE
        yield token.start(), token[0], depth
        depth += token[0] in _OPEN


def _split(text: str, signs: frozenset[str]) -> tuple[list[str], list[str]]:
    """The pieces between the signs that stand in no bracket, and those signs."""
    pieces, found, start = [], [], 0
    for place, token, depth in _levels(text):
        if depth == 0 and token in signs:
            pieces.append(text[start:place].strip())
            found.append(token)
            start = place + len(token)
    return [*pieces, text[start:].strip()], found


def _balanced(text: str) -> bool:
    depths = [depth + (token in _OPEN) for _, token, depth in _levels(text)]
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def _bracketed(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, inside and closing bracket, if the first bracket is closed by the last token."""
    tokens = list(_levels(text))
    if len(tokens) < 2 or tokens[0][1] not in {"(", "[", "{", r"\{"} or tokens[-1][1] not in {")", "]", "}", r"\}"}:
        return None
    if any(depth == 0 for _, _, depth in tokens[1:-1]):
        return None
    return tokens[0][1], text[len(tokens[0][1]) : tokens[-1][0]].strip(), tokens[-1][1]


_THOUSANDS = re.compile(r"(?<![\d.,\w])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])|(?<![\d.])[1-9]\d{0,2}(?: \d{3})+(?! ?\d)")
_CHOICE = re.compile(r"[(\[]?\s*([A-DF-Ha-df-h]|(?<=[(\[])[Ee]|E)\s*[)\].]?")
_CHOICE_BESIDE = re.compile(r"(?:\(([A-H])\)|([A-H])[.):])\s+(\S.*)")
_NAME = re.compile(
    r"""(?x) (?: [A-Za-z]'? (?: _\w | _\{[^{}]*\} )? | \\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega|angle|triangle)
        \s*[A-Z]{0,3} | [A-Z]{2,4} | \|[A-Z]{2}\| ) (?: \( [A-Za-z\d] (?: ,\s*[A-Za-z] )* \) )?
    | \( [A-Za-z] (?: ,\s*[A-Za-z] )+ \) | \\text\s*\{[^{}]*\} | [\u4e00-\u9fff]+ | [A-Za-z]{4,}(?:\s[A-Za-z]+)*"""
)
_MATRIX = re.compile(r"\\begin\s*\{([pbBs]?(?:small)?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\s*\{\1\}", re.DOTALL)


def read(text: str, depth: int = 0, alone: bool = True) -> Node:
    """The structure of a text in normal form; what cannot be read is `text`. A letter `alone` may be a choice."""
    text = text.strip()
    if depth > DEPTH or not _balanced(text):
        return Node("text", key(text).casefold())
    if alone and (choice := _CHOICE.fullmatch(text)):
        return Node("choice", choice[1].upper())
    if depth == 0 and (beside := _CHOICE_BESIDE.fullmatch(text)):
        return Node("choice", beside[1] or beside[2], (read(beside[3], depth + 1, alone=False),))
    if whole := re.fullmatch(r"\\text\s*\{([^{}]*)\}", text):
        mathematical = re.search(r"\d", whole[1]) or _CHOICE.fullmatch(whole[1].strip()) or len(whole[1].strip()) < 2
        return read(whole[1], depth + 1, alone) if mathematical else _words(whole[1])
    if depth == 0:
        text = _plain_thousands(text)
    return _several(text, depth) or _related(text, depth) or _in_brackets(text, depth) or _leaf(text)


def _words(text: str) -> Node:
    return Node("text", SAME_WORD.get(key(text).casefold(), key(text).casefold()))


SAME_WORD = {"yes": "是", "no": "否", "true": "正确", "false": "错误", "对": "正确", "错": "错误", "不是": "否"}


def _plain_thousands(text: str) -> str:
    """`1,000` is a number and `1, 000` or `(100,200)` are not: no space, groups of three, in no bracket."""
    outside = {place for place, _, depth in _levels(text) if depth == 0}
    return _THOUSANDS.sub(
        lambda found: re.sub("[ ,]", "", found[0]) if found.start() in outside else found[0],
        text,
    )


def _several(text: str, depth: int) -> Node | None:
    r"""Lists (solutions in any order), unions of intervals, `a \pm b`, matrices."""
    if found := _MATRIX.fullmatch(text):
        rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", found[2]) if row.strip()]
        cells = [tuple(read(cell, depth + 1, alone=False) for cell in row.split("&")) for row in rows]
        return Node("matrix", "", tuple(Node("row", "", row) for row in cells))
    if "\\begin" in text:
        return None
    inside = {place for place, _, level in _levels(text) if level > 0}
    listed = _AND.sub(lambda found: found[0] if found.start() in inside else ", ", text)
    pieces = [piece for piece in _split(listed, _COMMAS)[0] if piece]
    if len(pieces) > 1:
        return Node("list", "", tuple(read(piece, depth + 1) for piece in pieces))
    pieces, _ = _split(text, frozenset({r"\cup"}))
    if len(pieces) > 1 and all(pieces):
        return Node("union", "", tuple(read(piece, depth + 1, alone=False) for piece in pieces))
    pieces, _ = _split(text, frozenset({r"\pm"}))
    if len(pieces) == 2 and pieces[1] and not _split(text, _RELATIONS)[1]:
        return Node("list", "", tuple(read(f"{pieces[0]}{sign}{pieces[1]}", depth + 1, alone=False) for sign in "+-"))
    return None


def _related(text: str, depth: int) -> Node | None:  # noqa: PLR0911
    r"""`x=5` is named, `x \in [0,1)` is what x is in, `0<x\le 1` is an interval, other relations keep their sides."""
    sides, signs = _split(text, _RELATIONS)
    if not signs or not all(sides):
        return None
    if signs == ["="] and _NAME.fullmatch(sides[1]) and not _NAME.fullmatch(sides[0]):
        sides.reverse()  # 5=x
    signs = [{r"\lt": "<", r"\gt": ">"}.get(sign, sign) for sign in signs]
    named = _NAME.fullmatch(sides[0])
    if signs == [r"\in"] and named:
        return read(sides[1], depth + 1, alone=False)
    if set(signs) == {"="} and (named or not _LETTERS.search(re.sub(r"\\[A-Za-z]+", " ", sides[0]))):
        name = re.sub(r"\s|_\{[^{}]*\}|_\w", "", sides[0]) if named and re.match(r"[A-Za-z\\(|]", sides[0]) else ""
        name = "" if re.match(r"\\text|[A-Za-z]{4}", name) else name
        said = read(sides[-1], depth + 1, alone=False)
        return Node("named", name, (said,)) if name else said
    if len(signs) == 1 and signs[0] in {"<", ">", r"\le", r"\ge"}:
        if _NAME.fullmatch(sides[1]) and not named:
            sides, signs = sides[::-1], [_FLIPPED[signs[0]]]
        return Node("relation", signs[0], tuple(read(side, depth + 1, alone=False) for side in sides))
    if len(signs) == 2 and _NAME.fullmatch(sides[1]):
        if set(signs) <= {">", r"\ge"}:
            sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
        if set(signs) <= {"<", r"\le"}:
            ends = (read(sides[0], depth + 1, alone=False), read(sides[2], depth + 1, alone=False))
            return Node("row", ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]"), ends, sides[1])
    if len(signs) == 1:
        return Node("relation", signs[0], tuple(read(side, depth + 1, alone=False) for side in sides))
    return Node("text", key(text))


_LETTERS = re.compile(r"[A-Za-z]")
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _in_brackets(text: str, depth: int) -> Node | None:
    r"""`\{1,2\}` is a list, `(1,2)` and `[1,2)` are rows with their brackets, `(5)` is 5, `\{x\mid ...\}` is text."""
    if (found := _bracketed(text)) is None:
        return None
    opening, inside, closing = found
    pieces = [piece for piece in _split(inside, _COMMAS)[0] if piece]
    if opening in {"{", r"\{"} and closing in {"}", r"\}"}:
        if re.search(r"\\mid|\||:", inside):
            return Node("text", key(text))
        return Node("list", "", tuple(read(piece, depth + 1, alone=False) for piece in pieces))
    if len(pieces) > 1:
        return Node("row", opening + closing, tuple(read(piece, depth + 1, alone=False) for piece in pieces))
    return read(inside, depth + 1, alone=False) if (opening, closing) == ("(", ")") and inside else None


_WORD = re.compile(
    r"(?<!\\)(?<![A-Za-z\\])(?:[A-Za-z]{4,}|[A-Z][a-z]{2,}|(?:odd|yes|one|two|six|ten|all|red|no|even)(?![A-Za-z]))"
)
_UNALGEBRAIC = re.compile(
    r"[\u4e00-\u9fff'@#&]|\\(?:text|prime|pmod|mod|bmod|angle|triangle|approx|equiv|top|sim|cong|perp|parallel|dots|ldots)"
    r"(?![A-Za-z])|\.\.\.|\^\s*\{?T\b|\d_|_\d+\d|\d\)_|\\overline\{[A-Z]"
)


def _leaf(text: str) -> Node:
    """An expression with its unit, or words. What algebra is known to misread (primes, bases, angles) stays text."""
    value, unit = quantity(text)
    bare = re.sub(r"\\[A-Za-z]+", " ", value)
    if key(text).casefold() in SAME_WORD or not value or _UNALGEBRAIC.search(value) or _WORD.search(bare):
        plain = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text)
        return _words(plain) if not re.search(r"[\d\\^_=<>+*/]", plain) else Node("text", key(text))
    return Node("value", value, (), unit)
