r"""Sets of real numbers: whether `x\le-1` or `x\ge1`, `|x|\ge1` and `(-\infty,-1]\cup[1,\infty)` are the same.

A set is where it may begin or end (`edges`) and a test of one number. Two are the same if they agree at every edge of
either, and between any two. No interval is ever computed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mpmath import mp

from deepseek_math.answers.algebra import DIGITS, value
from deepseek_math.answers.expressions import Node, symbols
from deepseek_math.answers.forms import Combined, Form, Many, Named, Relation, Row, tree_of

Real = Any  # a real number of mpmath
Function = Callable[[Real], Real | None]  # None where it has no real value
NEAR = mp.mpf(10) ** -40  # two edges closer than that are one
STEPS = 240  # numbers between -e^7/2 and e^7/2 between which a change of sign is sought
_HOLDS: dict[str, Callable[[Real], bool]] = {  # of the left side minus the right one
    "<": lambda gap: gap < -NEAR,
    r"\le": lambda gap: gap <= NEAR,
    ">": lambda gap: gap > NEAR,
    r"\ge": lambda gap: gap >= -NEAR,
    "=": lambda gap: abs(gap) <= NEAR,
    r"\ne": lambda gap: abs(gap) > NEAR,
}


@dataclass(frozen=True)
class RealSet:
    edges: tuple[Real, ...]
    contains: Callable[[Real], bool]
    variable: str = ""  # that a condition names


def same_set(a: Form, b: Form) -> bool | None:
    """Whether two forms are the same set; None if one of them is not a set of real numbers that is known here."""
    with mp.workdps(DIGITS):
        left, right = real_set(a), real_set(b)
        if left is None or right is None:
            return None
        if left.variable and right.variable and left.variable != right.variable:
            return False
        return all(left.contains(each) == right.contains(each) for each in _probes(left.edges + right.edges))


def _probes(edges: Iterable[Real]) -> list[Real]:
    """Every edge, a number between each two, and one beyond each outer one."""
    found: list[Real] = []
    for edge in sorted(edge for edge in edges if mp.isfinite(edge)):
        if not found or edge - found[-1] > NEAR:
            found.append(edge)
    if not found:
        return [mp.mpf(0)]
    return [found[0] - 1, *found, *((low + high) / 2 for low, high in pairwise(found)), found[-1] + 1]


def real_set(form: Form) -> RealSet | None:
    """The set that a form means, if it is one of real numbers."""
    if isinstance(form, Named):
        found = real_set(form.value)
        return found and RealSet(found.edges, found.contains, form.name)
    if isinstance(form, Row):
        return _interval(form)
    if isinstance(form, Relation):
        return _condition(form)
    if isinstance(form, Combined):
        return _combined(form.sign, [real_set(part) for part in form.parts])
    if isinstance(form, Many):
        return _many(form)
    point = _constant(tree_of(form))
    return None if point is None else RealSet((point,), lambda each: bool(abs(each - point) <= NEAR))


def _constant(tree: Node | None) -> Real | None:
    return None if tree is None or symbols(tree) else _real(value(tree, {}))


def _real(found: Any) -> Real | None:
    if isinstance(found, Fraction):
        return mp.mpf(found.numerator) / found.denominator
    return found if isinstance(found, mp.mpf) else None


def _interval(row: Row) -> RealSet | None:
    ends = [_constant(tree_of(item)) for item in row.items]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] > ends[1]:
        return None
    low, high = ends
    above = _HOLDS[">" if row.brackets.startswith("(") else r"\ge"]
    below = _HOLDS["<" if row.brackets.endswith(")") else r"\le"]
    return RealSet((low, high), lambda each: above(each - low) and below(each - high))


def _many(form: Many) -> RealSet | None:
    """Conditions joined by "or" hold one by one; others at once, unless nothing is left (x<1, x>2)."""
    parts = [real_set(item) for item in form.items]
    relations = [item for item in form.items if isinstance(item, Relation)]
    conditions = len(relations) == len(parts) > 0
    if conditions and (not form.either or all(relation.signs == (r"\ne",) for relation in relations)):
        found = _combined(r"\cap", parts)
        if found is None or any(map(found.contains, _probes(found.edges))):
            return found
    return _combined(r"\cup", parts)


def _combined(sign: str, parts: list[RealSet | None]) -> RealSet | None:
    sets = [part for part in parts if part is not None]
    variables = {part.variable for part in sets if part.variable}
    if len(sets) < len(parts) or len(variables) > 1:
        return None

    def contains(each: Real) -> bool:
        within = [part.contains(each) for part in sets]
        if sign == r"\setminus":
            return within[0] and not any(within[1:])
        return any(within) if sign == r"\cup" else all(within)

    return RealSet(tuple(edge for part in sets for edge in part.edges), contains, "".join(variables))


def _condition(relation: Relation) -> RealSet | None:
    """Where a condition on one variable, or on one `f(x)`, holds: each of its signs between its neighbours."""
    trees = [tree for tree in map(tree_of, relation.sides) if tree is not None]
    names = {name for tree in trees for name in symbols(tree)}
    if len(trees) < len(relation.sides) or len(names) != 1 or not set(relation.signs) <= _HOLDS.keys():
        return None
    name = names.pop()
    unknown = next((tree for tree in trees if tree.op == "apply"), Node("symbol", name=name))
    functions = [_function(tree, unknown, name) for tree in trees]
    gaps = [_gap(left, right) for left, right in pairwise(functions)]
    edges: list[Real] = []
    for gap, sides in zip(gaps, pairwise(trees), strict=True):
        ends = [end for end in map(_constant, sides) if end is not None]
        edges += ends if unknown in sides and ends else _changes(gap)

    def contains(each: Real) -> bool:
        found = [gap(each) for gap in gaps]
        return all(gap is not None and _HOLDS[sign](gap) for gap, sign in zip(found, relation.signs, strict=True))

    return RealSet(tuple(edges), contains, unknown.name)


def _function(tree: Node, unknown: Node, name: str) -> Function:
    if tree == unknown:
        return lambda each: each
    return lambda each: _real(value(tree, {name: each}))


def _gap(left: Function, right: Function) -> Function:
    def gap(each: Real) -> Real | None:
        one, other = left(each), right(each)
        if one is None or other is None:
            return None
        return mp.mpf(0) if one == other else one - other

    return gap


def _changes(gap: Function) -> list[Real]:
    """Where a function changes its sign, begins or ends, to all digits: sought between steps, then by halves."""
    start, step = mp.mpf(-7), mp.mpf(14) / STEPS
    places = [mp.sinh(start + step * at + step / 3) for at in range(STEPS)]
    with mp.workdps(15):
        sides = [_side(gap(place)) for place in places]
    found: list[Real] = []
    for (low, before), (high, behind) in pairwise(zip(places, sides, strict=True)):
        if before != behind:
            found.append(_halved(gap, low, high, before))
    return found


def _side(gap: Real | None) -> int | None:
    return None if gap is None else int(mp.sign(gap))


def _halved(gap: Function, low: Real, high: Real, before: int | None) -> Real:
    for _ in range(4 * DIGITS):
        middle = (low + high) / 2
        if _side(gap(middle)) == before:
            low = middle
        else:
            high = middle
    return high
