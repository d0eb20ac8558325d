"""The rows that say what equality of answers means, and texts like answers for properties that hold for any."""

import json
from dataclasses import dataclass

from hypothesis import strategies as st

from deepseek_math.paths import ROOT
from tests.support.equivalence_table import DIFFERENT, SAME


@dataclass(frozen=True)
class Row:
    """Whether `prediction` says what `gold` says; with `extracted`, whether the answer stated in `prediction` does."""

    gold: str | None
    prediction: str
    expected: bool
    group: str
    extracted: bool = False


def recorded(name: str) -> list[Row]:
    rows = map(json.loads, (ROOT / "tests/data" / name).read_text().splitlines())
    return [
        Row(row["gold"], row["prediction"], row["expected"], row["group"], row["kind"].startswith("extract"))
        for row in rows
    ]


TABLE = [Row(a, b, True, why) for a, b, why in SAME] + [Row(a, b, False, why) for a, b, why in DIFFERENT]
REPORTED = recorded("answer_cases.jsonl")  # from public reports of faults, graders' tests and published completions
NEIGHBOURS = recorded("more_answer_cases.jsonl")  # of the same kinds, with near misses

_expression = st.recursive(
    st.sampled_from(
        ["1", "2", "0.5", "x", "y", r"\pi", "i", "A", "元", "cm", r"\text{ cm}", r"\%", "Monday", r"\infty"]
    ),
    lambda inner: (
        st.tuples(
            inner, st.sampled_from(["+", "-", "=", ",", "<", r"\cup ", "/", " ", r"\times ", "^", r"\pm", ":"]), inner
        ).map("".join)
        | inner.map(r"\sqrt{{{}}}".format)
        | inner.map("({})".format)
        | inner.map(r"\{{{}\}}".format)
        | st.tuples(inner, inner).map(lambda pair: r"\frac{{{}}}{{{}}}".format(*pair))
        | st.tuples(st.sampled_from("[("), inner, inner, st.sampled_from(")]")).map("{0[0]}{0[1]},{0[2]}{0[3]}".format)
    ),
    max_leaves=5,
)
anything = _expression | st.text(max_size=30) | st.text("0123456789.,%^_{}()[]\\$+-/=<> frac sqrt", max_size=30)
