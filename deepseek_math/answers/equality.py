r"""Whether two forms say the same: one rule for each kind, algebra only where both are expressions.

Strict where graders are lenient: `50\%` is not 50, a rounded decimal not its fraction, a part not the whole, and a
value beside the wrong name not the right one.
"""

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from deepseek_math.answers.algebra import equal, fingerprint, proportion
from deepseek_math.answers.expressions import Node, number, parse
from deepseek_math.answers.forms import (
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
    tree_of,
)
from deepseek_math.answers.phrases import INFINITY, MINUS_INFINITY
from deepseek_math.answers.reading import FLIPPED, read
from deepseek_math.answers.sets import same_set
from deepseek_math.answers.spelling import Unreadable, key, tokenize

_OPENING = {"<": "(", r"\le": "["}
_CLOSING = {"<": ")", r"\le": "]"}
_INDEX = re.compile(r"_(?:\d+|\{[\d,]+\})$")


def equivalent(a: str, b: str) -> bool:
    """Whether two answers are the same to a mathematician."""
    return key(a) == key(b) or same(read(a), read(b))


def same(a: Form, b: Form) -> bool:
    """Whether two forms say the same. The rule of the kind that comes first in the list below decides."""
    if a == b:
        return True
    for kind, rule in _RULES:
        if isinstance(a, kind):
            return rule(a, b)
        if isinstance(b, kind):
            return rule(b, a)
    left, right = tree_of(a), tree_of(b)
    return left is not None and right is not None and equal(left, right)


def _all_same(some: Iterable[Form], others: Iterable[Form]) -> bool:
    """Whether they are the same, one by one."""
    left, right = tuple(some), tuple(others)
    return len(left) == len(right) and all(map(same, left, right))


def _same_named(a: Named, b: Form) -> bool:
    """`x=5` is 5 but not `y=5`; `(x,y)=(3,4)` is `x=3, y=4`; `y=2x+1` is `2x-y+1=0`."""
    if isinstance(b, Named):
        one_name = a.name == b.name or _INDEX.sub("", a.name) == b.name or _INDEX.sub("", b.name) == a.name
        return same(a.value, b.value) if one_name else _same_relation(_equation(a), _equation(b))
    if isinstance(b, Record):
        coordinates = _coordinates(a)
        numbered = _letter(b) == a.name and same(a.value, _values(b))
        return numbered or (coordinates is not None and same(coordinates, b))
    if isinstance(b, Relation) and b.signs == ("=",):
        return _same_relation(_equation(a), b)
    if _is_condition(b):
        return same_set(a, b) is True
    return same(a.value, b)


def _coordinates(named: Named) -> Record | None:
    names = named.name[1:-1].split(",") if named.name.startswith("(") else []
    if not isinstance(named.value, Row) or len(names) != len(named.value.items):
        return None
    return Record(tuple(map(Named, names, named.value.items)))


def _equation(named: Named) -> Relation:
    try:
        left: Form = Expression(parse(tokenize(named.name)))
    except Unreadable:
        left = Text(named.name)
    return Relation(("=",), (left, named.value))


def _same_record(a: Record, b: Form) -> bool:
    """Each name keeps its value. Numbered roots (`x_1=1, x_2=2`) are also a list."""
    if isinstance(b, Record):
        left, right = ({field.name: field.value for field in record.fields} for record in (a, b))
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if not isinstance(b, Many):
        return False
    if any(isinstance(item, Named | Record) for item in b.items):
        return _same_many(b, Many((a,)))
    return _letter(a) != "" and same(_values(a), b)


def _letter(record: Record) -> str:
    """The one name that the fields number, or nothing."""
    names = [field.name for field in record.fields]
    letters = {_INDEX.sub("", name) for name in names}
    return letters.pop() if len(letters) == 1 and all(map(_INDEX.search, names)) else ""


def _values(record: Record) -> Many:
    return Many(tuple(field.value for field in record.fields))


def _same_many(a: Many, b: Form) -> bool:
    """Each is found in the other list: by its hash first, then among those of the same value at one point."""
    if _is_condition(a) or _is_condition(b):
        found = same_set(a, b)
        if found is not None:
            return found
    left, right = set(a.items), set(b.items if isinstance(b, Many) else (b,))
    return _found_in(left - right, right) and _found_in(right - left, left)


def _found_in(some: set[Form], others: set[Form]) -> bool:
    buckets: dict[str, list[Form]] = {}
    for other in others:
        buckets.setdefault(_bucket(other), []).append(other)
    for one in some:
        bucket = _bucket(one)
        candidates = buckets.get(bucket, []) + buckets.get("", []) if bucket else others
        if not any(same(one, other) for other in candidates):
            return False
    return True


def _bucket(form: Form) -> str:
    tree = tree_of(form)
    return fingerprint(tree) if tree else ""


def _is_condition(form: Form) -> bool:
    if isinstance(form, Many):
        return any(map(_is_condition, form.items))
    return isinstance(form, Relation | Combined)


def _same_choice(a: Choice, b: Form) -> bool:
    """`A`, `(a)` and `A. 12` are one choice; beside it, 12 is what `A. 12` says; a letter alone is a variable too."""
    if isinstance(b, Choice):
        return a.letters == b.letters
    if a.beside is not None:
        return same(a.beside, b)
    return isinstance(b, Expression) and b.tree == Node("symbol", name=a.letters)


def _same_combined(a: Combined, b: Form) -> bool:
    found = same_set(a, b)
    if found is not None or not isinstance(b, Combined) or a.sign != b.sign:
        return bool(found)
    if a.sign == r"\setminus":
        return _all_same(a.parts, b.parts)
    return _same_many(Many(a.parts), Many(b.parts))


def _same_relation(a: Relation, b: Form) -> bool:
    """The same sides, a multiple of the same equation or inequality, or the same numbers that fulfil it."""
    if not isinstance(b, Relation):
        interval = _interval(a)
        found = None if set(a.signs) == {"="} else same_set(a, b)
        return found if found is not None else interval is not None and same(interval, b)
    if a.signs == b.signs and _all_same(a.sides, b.sides):
        return True
    if set(a.signs) <= {"=", r"\ne"} and a.signs == b.signs[::-1] and _all_same(a.sides, b.sides[::-1]):
        return True
    left, right = _difference(a), _difference(b)
    factor = proportion(left, right) if left and right else None
    if factor is not None:
        return b.signs[0] == (a.signs[0] if factor > 0 else FLIPPED.get(a.signs[0], a.signs[0]))
    return set(a.signs + b.signs) != {"="} and same_set(a, b) is True


def _difference(relation: Relation) -> Node | None:
    left, right, *more = map(tree_of, relation.sides)
    return None if more or left is None or right is None else Node("+", (left, Node("-", (right,))))


def _interval(relation: Relation) -> Row | None:
    r"""`x>a` as `(a,\infty)`, `a<x\le b` as `(a,b]`, where x is a letter and the ends may be any expressions."""
    sides, signs = relation.sides, relation.signs
    if not set(signs) <= {"<", r"\le"} or len(sides) > 3:
        return None
    if len(sides) == 2:
        letter_first = _is_letter(sides[0])
        sides = (MINUS_INFINITY, *sides) if letter_first else (*sides, INFINITY)
        signs = ("<", *signs) if letter_first else (*signs, "<")
    brackets = f"{_OPENING[signs[0]]} {_CLOSING[signs[1]]}"
    return Row((sides[0], sides[2]), brackets) if _is_letter(sides[1]) else None


def _is_letter(form: Form) -> bool:
    return isinstance(form, Expression) and form.tree.op in {"symbol", "apply"}


def _same_row(a: Row, b: Form) -> bool:
    return isinstance(b, Row) and a.brackets == b.brackets and _all_same(a.items, b.items)


def _same_ratio(a: Ratio, b: Form) -> bool:
    """`2:4` is `1:2`, and a ratio of two is their quotient. One with a zero, or that may be a time, is itself only."""
    if isinstance(b, Time):
        return not b.half and _all_same(a.terms, map(Number, b.terms))
    others = b.terms if isinstance(b, Ratio) else (b, Number(Fraction(1)))
    left = [tree for tree in map(tree_of, a.terms) if tree is not None]
    right = [tree for tree in map(tree_of, others) if tree is not None]
    if len(left) != len(right) or not len(left) == len(a.terms) == len(others) or number(0) in left + right:
        return False
    crossed = ((Node("*", (x, right[0])), Node("*", (y, left[0]))) for x, y in zip(left, right, strict=True))
    return all(equal(x, y) for x, y in crossed)


def _same_time(a: Time, b: Form) -> bool:
    return isinstance(b, Time) and _clock(a) == _clock(b)


def _clock(time: Time) -> tuple[tuple[Fraction, ...], bool]:
    """Hours, minutes and seconds of the day, and whether they are sure to be: `4:30` may be in either half of it."""
    hours, minutes, seconds = (*time.terms, Fraction(0), Fraction(0))[:3]
    if time.half:
        hours = hours % 12 + 12 * (time.half == "pm")
    return (hours, minutes, seconds), time.half != "" or hours > 12


def _same_cases(a: Cases, b: Form) -> bool:
    if not isinstance(b, Cases) or len(a.rows) != len(b.rows):
        return False
    return all(any(_all_same(row, other) for other in b.rows) for row in a.rows)


def _same_quantity(a: Quantity, b: Form) -> bool:
    """Units agree where both are written."""
    if isinstance(b, Quantity):
        return a.unit == b.unit and same(a.value, b.value)
    return same(a.value, b)


# In this order: a list of named values is compared as a list only after its name was heard. Other kinds equal
# themselves only, or are left to algebra.
_RULES: list[tuple[type, Callable[[Any, Form], bool]]] = [
    (Named, _same_named),
    (Record, _same_record),
    (Choice, _same_choice),
    (Many, _same_many),
    (Combined, _same_combined),
    (Relation, _same_relation),
    (Row, _same_row),
    (Ratio, _same_ratio),
    (Time, _same_time),
    (Cases, _same_cases),
    (Quantity, _same_quantity),
]
