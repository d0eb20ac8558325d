r"""What an answer says: its tokens become one form (forms.py), by recursive descent from lists down to expressions.

    >>> read(r"x=1 \text{ or } x=-2")
    Named(name='x', value=Many(items=(Number(value=Fraction(1, 1)), Number(value=Fraction(-2, 1))), either=True))

Covers: LaTeX, plain and full-width notation, English and Chinese units and words.
Does not cover: conversion of units (`1 m` is not `100 cm`), numbers written as words (五, "five"), decimal commas but
for `1.234,56`. What can't be read is Text, which equals only what is spelled alike.
"""

import re
from dataclasses import replace
from fractions import Fraction

from deepseek_math.answers.choices import choice_of
from deepseek_math.answers.expressions import Node, number, parse, symbols
from deepseek_math.answers.forms import (
    Based,
    Cases,
    Choice,
    Combined,
    Expression,
    Form,
    Many,
    Named,
    Number,
    Quantity,
    Ratio,
    Record,
    Relation,
    Row,
    Text,
    Time,
)
from deepseek_math.answers.phrases import NOTHING, phrase_of, plain_words
from deepseek_math.answers.spelling import (
    BRACES,
    ROUND,
    SET,
    SQUARE,
    Token,
    Tokens,
    Unreadable,
    key,
    spelled,
    split,
    tokenize,
)
from deepseek_math.answers.units import measure, price
from deepseek_math.answers.value_names import is_description, is_ratio, name_of

FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_RELATIONS = {"=", r"\ne", r"\approx", r"\equiv", r"\in", r"\sim", *FLIPPED}
_INTERVALS = {ROUND, SQUARE, "( ]", "[ )"}
_SETS = {r"\cup": {r"\cup", "union", "U"}, r"\cap": {r"\cap"}, r"\setminus": {r"\setminus", "except", "excluding"}}
_PLUS_MINUS = {r"\pm": ("+", "-"), r"\mp": ("-", "+")}
_MAX_SIGNS = 3  # of plus-minus in one answer: eight values
_NEAR = r"\\approx|~|[Aa]pprox(?:imately)?|[Aa]bout|[Rr]oughly|[Aa]round|大?约|约等于|约为"
_LEAD = re.compile(
    rf"{_NEAR}|[Bb]oth|[Ee]ither|[Tt]he|[Aa]n|[Ff]or|[Ss]o|[Tt]hus|[Hh]ence|(?:\\t|[Tt])herefore|[Aa]nswer|答|解|[=:,;\"“*^]"
)
_END = re.compile(r"[.,;:*^\"”]|\\{1,2}")
_ASIDE = re.compile(rf"(?:or|i\.e|{_NEAR})(?![A-Za-z])")
_IF = {"if", "for", "when", "where", "当", "若"}
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_DIGITS = re.compile(r"-?(?:\d[\dA-F.]*|[A-F]+\d[\dA-F.]*)")


def read(text: str) -> Form:
    """The form of an answer; whatever it is, there is one."""
    try:
        return _listed(_trimmed(tokenize(text)))
    except (Unreadable, RecursionError):
        return Text(key(text).casefold())


def _trimmed(tokens: Tokens) -> Tokens:
    r"""Without the words and signs around an answer: "about 5.", `\approx 5`, `5 (or 5.0)`."""
    start, end = 0, len(tokens)
    while start < end and _LEAD.fullmatch(tokens[start].text):
        start += 1
    while end > start and (_END.fullmatch(tokens[end - 1].text) or _is_aside(tokens[end - 1])):
        end -= 1
    return tokens[start:end]


def _is_aside(token: Token) -> bool:
    """`(or 0.75)`, `(i.e. 0.75)` and `(approximately 2.83)` say again what stands before."""
    return token.text == ROUND and _ASIDE.match(spelled(token.parts)) is not None


# Lists


def _listed(tokens: Tokens) -> Form:
    """Solutions between commas, "and", "or" and lines; names hold together what belongs to one solution."""
    if choice := _choice(tokens):
        return choice
    if len(tokens) > 1 and tokens[-1].text == ROUND and any(part.text == r"\in" for part in tokens[-1].parts):
        tokens = (*tokens[:-1], Token("sign", ","), *tokens[-1].parts)  # k\pi (k\in\mathbb{Z})
    first, *more = split(tokens, {",", ";", "and", "or", r"\\"})
    exact = [piece for piece in more if not (piece and re.fullmatch(_NEAR, piece[0].text))]  # not "or about 0.67"
    items: list[Form] = []
    for piece in filter(None, map(_trimmed, [first, *exact])):
        item = _choice(piece) or _item(piece)
        items.extend(item.items if isinstance(item, Many) and _signs(piece) else [item])
    if not items:
        return Text("")
    return items[0] if len(items) == 1 else _together(items, either=any(token.text == "or" for token in tokens))


def _choice(tokens: Tokens) -> Choice | None:
    letters, beside = choice_of(tokens)
    if not letters:
        return None
    return Choice(letters, _listed(_trimmed(beside)) if beside else None)


def _together(items: list[Form], either: bool) -> Form:
    letters = [letter for item in items if isinstance(item, Choice) and item.beside is None for letter in item.letters]
    if all(isinstance(item, Choice) for item in items):
        return Choice("".join(sorted(set(letters))))
    names = {item.name for item in items if isinstance(item, Named)}
    if len(names) == 1:
        return Named(
            names.pop(), Many(tuple(item.value if isinstance(item, Named) else item for item in items), either)
        )
    if names:
        return _records(items)
    first = items[0]
    if isinstance(first, Relation) and first.signs == (r"\ne",):  # x \ne 1, 2
        values = [item.sides[1] if isinstance(item, Relation) else item for item in items]
        items = [Relation(first.signs, (first.sides[0], value)) for value in values]
    return Many(tuple(items), either)


def _records(items: list[Form]) -> Form:
    """A solution ends where a name comes again: `p=5,q=2; p=7,q=3`."""
    found: list[Form] = []
    fields: list[Named] = []
    for item in [*items, None]:
        if fields and (not isinstance(item, Named) or item.name in {each.name for each in fields}):
            found.append(Record(tuple(fields)))
            fields = []
        if isinstance(item, Named):
            fields.append(item)
        elif item is not None:
            found.append(item)
    return found[0] if len(found) == 1 else Many(tuple(found))


# Plus-minus


def _signs(tokens: Tokens) -> list[str]:
    """The plus-minus and minus-plus signs, but for those in a set, which are its members' own."""
    found: list[str] = []
    for token in tokens:
        if token.text in _PLUS_MINUS:
            found.append(token.text)
        elif token.text != SET and not _is_set(token):
            found += _signs(token.parts)
    return found


def _both_signs(tokens: Tokens, signs: list[str]) -> Form:
    r"""`a\pm b` is two values. Several signs are chosen apart (`\pm1\pm i` is four values), unless `\mp` ties them."""
    tied = r"\mp" in signs
    if len(signs) > _MAX_SIGNS and not tied:
        raise Unreadable("too many signs")
    found: list[Form] = []
    for number_of_choice in range(2 if tied else 2 ** len(signs)):
        choices = [number_of_choice if tied else number_of_choice >> bit & 1 for bit in range(len(signs))]
        found.append(_item(_signed(tokens, choices)))
    return Many(tuple(found))


def _signed(tokens: Tokens, choices: list[int]) -> Tokens:
    """The tokens with a plain sign for each plus-minus; takes its choice from the front of `choices`."""
    found: list[Token] = []
    for token in tokens:
        if token.text in _PLUS_MINUS:
            found.append(Token("sign", _PLUS_MINUS[token.text][choices.pop(0)]))
        elif token.text == SET or _is_set(token):
            found.append(token)
        else:
            found.append(replace(token, parts=_signed(token.parts, choices)))
    return tuple(found)


# Relations


def _item(tokens: Tokens) -> Form:
    """One solution: an equation, an inequality, a set or a value."""
    tokens = _trimmed(tokens)
    if not tokens:
        return Text("")
    if phrase := phrase_of(tokens):
        return phrase
    if signs := _signs(tokens):
        return _both_signs(tokens, signs)
    sides = split(tokens, _RELATIONS)
    if len(sides) == 1:
        return _set(tokens)
    return _related(sides, [token.text for token in tokens if token.text in _RELATIONS])


def _related(sides: list[Tokens], signs: list[str]) -> Form:
    if r"\approx" in signs:  # what follows is only near, unless nothing but a name stands before
        named = signs[0] == r"\approx" and name_of(sides[0]) is not None
        signs = ["="] if named else signs[: signs.index(r"\approx")]
        sides = sides[: len(signs) + 1]
        if not signs:
            return _item(sides[0])
    if not all(sides):
        raise Unreadable("a side is missing")
    if len(sides) == 2 and name_of(sides[0]) is None and name_of(sides[1]) is not None and signs[0] in {"=", *FLIPPED}:
        sides, signs = sides[::-1], [FLIPPED.get(signs[0], "=")]
    if signs == [r"\in"] and name_of(sides[0]) is not None:
        return _item(sides[1])
    if set(signs) == {"="}:
        return _equated(sides)
    if set(signs) <= {">", r"\ge"}:
        sides, signs = sides[::-1], [FLIPPED[sign] for sign in signs[::-1]]
    return Relation(tuple(signs), tuple(_item(side) for side in sides))


def _equated(sides: list[Tokens]) -> Form:
    """`x=5` names a value, `2+3=5` is one, and `2x+y=1` is an equation, which is neither of its sides."""
    name = name_of(sides[0])
    if name is not None:
        value = _item(sides[-1])
        if isinstance(value, Time) and is_ratio(name):
            value = Ratio(tuple(map(Number, value.terms)))
        return value if is_description(name) else Named(name, value)
    values = tuple(_item(side) for side in sides)
    calculated = values[1:] if len(values) > 2 else values  # `m+n = 256+37 = 293`
    if not any(map(_has_variables, calculated)):
        return values[-1]
    return Relation(("=",) * (len(sides) - 1), values)


def _has_variables(form: Form) -> bool:
    if isinstance(form, Expression):
        return bool(symbols(form.tree)) or form.tree.op == "apply"
    return not isinstance(form, Number | Quantity)


# Sets and brackets


def _set(tokens: Tokens) -> Form:
    """Sets joined by signs or words, or a value."""
    for sign, spellings in _SETS.items():
        pieces = split(tokens, spellings)
        if len(pieces) > 1 and all(pieces):
            return Combined(sign, tuple(map(_listed, pieces)))
    if tokens[0].text.startswith(r"\mathbb") and len(tokens) > 2 and tokens[1].text == "-":
        return Combined(r"\setminus", (_item(tokens[:1]), _item(tokens[2:])))
    return _value(tokens)


def _bracket(group: Token) -> Form | None:
    r"""`\{1,2\}` is a set, `(1,2)` and `[1,2)` are rows with their brackets, `(5)` is 5. None is left to algebra."""
    parts = group.parts
    if group.text == "cases":
        return _cases(parts)
    if group.text == "matrix":
        lines = not any(token.text == "&" for token in parts) and any(token.text in _RELATIONS for token in parts)
        alone = not any(token.text in {"&", r"\\"} for token in parts)
        return _listed(tuple(token for token in parts if token.text != "&")) if lines or alone else None
    if group.text == SET or _is_set(group) or (group.text == BRACES and not parts):
        return _members(parts)
    if group.text == BRACES:
        return None if any(token.text == r"\choose" for token in parts) else _listed(parts)
    return _row(group) if group.text in _INTERVALS and parts else None


def _is_set(token: Token) -> bool:
    return token.text == BRACES and any(part.text in {",", ";"} for part in token.parts)


def _row(group: Token) -> Form | None:
    pieces = split(group.parts, {",", ";"})
    if group.text == SQUARE and all(len(piece) == 1 and piece[0].text == SQUARE for piece in pieces):
        rows = tuple(Node("row", tuple(map(parse, split(piece[0].parts, {","})))) for piece in pieces)
        return Expression(Node("matrix", rows))  # [[1,2],[3,4]]
    if len(pieces) == 1:
        return _listed(group.parts) if group.text == ROUND or group.parts[0].text == "matrix" else None
    items = [_item(piece) for piece in pieces]
    return _records(items) if all(isinstance(item, Named) for item in items) else Row(tuple(items), group.text)


def _members(parts: Tokens) -> Form:
    r"""The members of a set, one by one or by a condition: `\{x \mid 0<x<1\}`."""
    if not parts:
        return NOTHING
    head, *condition = split(parts, {"|", ":"})
    if condition:
        variable, *domain = split(head, {r"\in"})
        if len(variable) > 2 or name_of(variable) is None or list(map(spelled, domain)) not in ([], [r"\mathbb{R}"]):
            return Text(spelled(parts))
        real = f"{spelled(variable)}\\in\\mathbb{{R}}"
        pieces = [piece for piece in split(parts[len(head) + 1 :], {",", ";"}) if spelled(piece) != real]
        return _listed(tuple(token for piece in pieces for token in (*piece, Token("sign", ","))))
    found = _listed(parts)
    return found if isinstance(found, Choice) or (isinstance(found, Many) and found.items) else Many((found,))


def _cases(parts: Tokens) -> Form:
    """The rows of a function by cases; rows without a condition are a system."""
    rows = [split(row, {"&"}) for row in split(parts, {r"\\"}) if row]
    if any(len(row) != 2 for row in rows):
        return _listed(tuple(token for token in parts if token.text != "&"))
    return Cases(tuple((_item(value), _condition(_trimmed(condition))) for value, condition in rows))


def _condition(tokens: Tokens) -> Form:
    if tokens and tokens[0].text.lower() in _IF:
        tokens = _trimmed(tokens[1:])
    return Text("otherwise") if plain_words(tokens) in {"otherwise", "else", "其他", "其它"} else _listed(tokens)


# Values


def _value(tokens: Tokens) -> Form:
    """A bracket, a number in a base, a time, a ratio, a quantity, an expression, or words."""
    if len(tokens) == 1 and tokens[0].kind == "group" and (found := _bracket(tokens[0])):
        return found
    for rule in (_based, _clock, _quantity, _algebraic):
        if value := rule(tokens):
            return value
    return Text(plain_words(tokens) or spelled(tokens))


def _algebraic(tokens: Tokens) -> Number | Expression | None:
    try:
        tree = parse(tokens)
    except Unreadable:
        return None
    exact = _exact(tree)
    return Expression(tree) if exact is None else Number(exact)


def _exact(tree: Node) -> Fraction | None:  # noqa: PLR0911
    r"""The value of a number as people write one: `-1\frac{1}{2}`, `3/4`, `1.5\times10^{3}`, `20\%`."""
    if tree.op == "number":
        return tree.value
    if tree.op not in {"+", "-", "*", "/", "^"}:
        return None
    first, *rest = [_exact(part) for part in tree.parts]
    second = rest[0] if rest else Fraction(0)
    if first is None or second is None:
        return None
    if tree.op == "-":
        return -first
    if tree.op == "+":
        return first + second
    if tree.op == "*":
        return first * second
    if tree.op == "/":
        return first / second if second else None
    return Fraction(first ** int(second)) if first == 10 and second.denominator == 1 and abs(second) < 400 else None


def _based(tokens: Tokens) -> Based | None:
    r"""`101_2`, `(101)_2`, `\text{2A6}_{16}`, `101 base 2`; a digit must be less than the base."""
    if len(tokens) < 3 or tokens[-2].text not in {"_", "base"}:
        return None
    head, base = (spelled(_unwrapped(part)).replace(" ", "") for part in (tokens[:-2], tokens[-1:]))
    base = _BASES.get(base.lower(), base)
    if not (base.isdigit() and 2 <= int(base) <= 36 and _DIGITS.fullmatch(head)):
        return None
    valid = all(int(digit, 36) < int(base) for digit in head if digit.isalnum())
    return Based(head.lstrip("0") or "0", base) if valid else None


def _unwrapped(tokens: Tokens) -> Tokens:
    return tokens[0].parts if len(tokens) == 1 and tokens[0].text in {ROUND, BRACES} else tokens


def _clock(tokens: Tokens) -> Form | None:
    """`4:30 p.m.` and `4:30` are times; `1:2`, `25:75` and "3 to 2" are ratios."""
    half = tokens[-1].text.lower() if tokens[-1].text.lower() in {"am", "pm"} else ""
    pieces = split(tokens[:-1] if half else tokens, {":", "to"})
    terms = tuple(term for term in map(_algebraic, pieces) if term is not None)
    if len(terms) < len(pieces) or (len(pieces) == 1 and not half):
        return None
    values = tuple(term.value for term in terms if isinstance(term, Number))
    padded = all(re.fullmatch(r"[0-5]\d", spelled(piece)) for piece in pieces[1:])
    if len(values) == len(terms) and (half or (padded and values[0] <= 24)):
        return Time(values, half)
    return None if half else Ratio(terms)


def _quantity(tokens: Tokens) -> Form | None:
    r"""A value with its unit, its currency, its percent sign or its "million"."""
    tokens, currency = price(tokens)
    tokens, unit, factor = measure(tokens)
    unit = unit or currency
    found = _algebraic(tokens) if unit or factor != 1 else None
    if isinstance(found, Number):
        found = Number(found.value * factor)
    elif found is not None and factor != 1:
        found = Expression(Node("*", (found.tree, number(factor))))
    return Quantity(found, unit) if found and unit else found
