"""How a calculation is asked for: in words or signs, in two languages, with the signs that people type."""

from collections.abc import Mapping
from random import Random

from deepseek_math.language import Language

Wordings = Mapping[Language, tuple[str, ...]]

NAMES = {"+": "sum", "-": "difference", "×": "product", "÷": "quotient"}
PYTHON = {"+": "+", "-": "-", "×": "*", "÷": "/"}
NAMED = 0.3  # share of the questions that name the operation in words
ASK: Wordings = {
    "en": (
        "What is {e}?",
        "What is {e}?",
        "Calculate {e}.",
        "Compute {e}.",
        "Work out {e}.",
        "{e} = ?",
        "{e}",
        "How much is {e}?",
        "Find the value of {e}.",
        "Evaluate {e}.",
        "What's {e}?",
    ),
    "zh": ("计算{e}。", "{e}等于多少？", "{e}等于几？", "求{e}的值。", "请计算：{e}", "{e}=？", "{e}是多少？"),
}
BY_NAME: Mapping[str, Wordings] = {
    "+": {
        "en": ("What is the sum of {a} and {b}?", "Add {a} and {b}.", "What is {a} plus {b}?"),
        "zh": ("{a}加{b}等于多少？", "求{a}与{b}的和。"),
    },
    "-": {
        "en": ("What is {a} minus {b}?", "Subtract {b} from {a}.", "What is the difference of {a} and {b}?"),
        "zh": ("{a}减{b}等于多少？", "求{a}与{b}的差。"),
    },
    "×": {
        "en": ("What is {a} times {b}?", "Multiply {a} by {b}.", "What is the product of {a} and {b}?"),
        "zh": ("{a}乘{b}等于多少？", "求{a}与{b}的积。"),
    },
    "÷": {
        "en": ("What is {a} divided by {b}?", "Divide {a} by {b}."),
        "zh": ("{a}除以{b}等于多少？", "求{a}与{b}的商。"),
    },
}
SIGNS: Mapping[str, tuple[str, ...]] = {
    "+": ("+",),
    "-": ("-",),
    "×": ("×", "*", "x", "\\times"),
    "÷": ("÷", "/", "\\div"),
}
LATEX_LAYOUTS = ("${} {} {}$", "{} {} {}")
LAYOUTS = ("{} {} {}", "{} {} {}", "{}{}{}", "${} {} {}$")


def question(sign: str, a: str, b: str, language: Language, random: Random) -> str:
    """Asks for `a sign b`."""
    if random.random() < NAMED:
        return random.choice(BY_NAME[sign][language]).format(a=a, b=b)
    return random.choice(ASK[language]).format(e=_expression(sign, a, b, random))


def _expression(sign: str, a: str, b: str, random: Random) -> str:
    """`a sign b` as people type it: with or without spaces and dollars, with one of the sign's spellings."""
    spelling = random.choice(SIGNS[sign])
    layouts = LATEX_LAYOUTS if spelling.startswith("\\") else LAYOUTS
    return random.choice(layouts).format(a, spelling, b)
