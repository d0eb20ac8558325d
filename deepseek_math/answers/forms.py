"""What an answer can be: small values that spellings of one answer share. `reading` makes them, `equality` compares.

Every form is frozen and hashable, so a long list is compared by its hashes first.
"""

from dataclasses import dataclass
from fractions import Fraction

from deepseek_math.answers.expressions import Node, number


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number, exactly."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Expression:
    """Anything that is left to algebra: `2\\sqrt3`, `x^2+1`, a matrix."""

    tree: Node


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value and its unit, by the unit's one name."""

    value: "Form"
    unit: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base: `2A6_{16}`."""

    digits: str
    base: str


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day as it is written, `4:30`, and its half of the day, "am", "pm" or empty."""

    terms: tuple[Fraction, ...]
    half: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """`1:2:3`; its terms may be anything that algebra reads."""

    terms: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """Letters of a multiple choice, in order, and what stands beside the only one: `(A) 12`."""

    letters: str
    beside: "Form | None" = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a name is said to equal: `x=5`. A name without letters is a description, and counts for nothing."""

    name: str
    value: "Form"


@dataclass(frozen=True, slots=True)
class Record:
    """Values that belong together, each with its name: `x=1, y=2`."""

    fields: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """Solutions, or the members of a set, in any order; `either` if "or" stands between them."""

    items: "tuple[Form, ...]"
    either: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A point, a vector or an interval: parts in order, and the two brackets around them."""

    items: "tuple[Form, ...]"
    brackets: str


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with signs between them: `a<b<c`, `x^2+y^2=1`."""

    signs: tuple[str, ...]
    sides: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class Combined:
    """Sets joined by `\\cup`, `\\cap` or `\\setminus`, from left to right."""

    sign: str
    parts: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class Cases:
    """A function by cases: each value with its condition, in any order."""

    rows: "tuple[tuple[Form, Form], ...]"


@dataclass(frozen=True, slots=True)
class Text:
    """Words, and what could not be read as anything else, in one spelling."""

    words: str


Form = (
    Number
    | Expression
    | Quantity
    | Based
    | Time
    | Ratio
    | Choice
    | Named
    | Record
    | Many
    | Row
    | Relation
    | Combined
    | Cases
    | Text
)


def tree_of(form: Form) -> Node | None:
    """The tree of a number, an expression, or a quantity's value; None of any other form."""
    if isinstance(form, Quantity):
        return tree_of(form.value)
    if isinstance(form, Number):
        return number(form.value)
    return form.tree if isinstance(form, Expression) else None
