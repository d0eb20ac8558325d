"""The kinds of problem about numbers: integers up to four digits, fractions, percentages."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import gcd
from random import Random

import sympy

from deepseek_math.prompts import Language
from deepseek_math.training.arithmetic import brief, operate
from deepseek_math.training.problem import Kind, Problem

Draw = Callable[[Random], tuple[int, ...]]
Wordings = Mapping[Language, tuple[str, ...]]

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
PYTHON = {"+": "+", "-": "-", "×": "*", "÷": "/"}


def expression(sign: str, a: str, b: str, random: Random) -> str:
    """`a sign b` as people type it: with or without spaces and dollars, with one of the sign's spellings."""
    spelling = random.choice(SIGNS[sign])
    if spelling.startswith("\\"):
        return random.choice(("${} {} {}$", "{} {} {}")).format(a, spelling, b)
    return random.choice(("{} {} {}", "{} {} {}", "{}{}{}", "${} {} {}$")).format(a, spelling, b)


def ask(sign: str, a: str, b: str, language: Language, random: Random) -> str:
    if random.random() < 0.3:
        return random.choice(BY_NAME[sign][language]).format(a=a, b=b)
    return random.choice(ASK[language]).format(e=expression(sign, a, b, random))


def number(random: Random, digits: int) -> int:
    return random.randrange(10 ** (digits - 1) if digits > 1 else 1, 10**digits)


def _integers(sign: str, lengths: tuple[tuple[int, int, float], ...]) -> Draw:
    """Draws two numbers with (digits, digits) by weight; a division is drawn from its quotient and divisor."""

    def draw(random: Random) -> tuple[int, ...]:
        one, other, _ = random.choices(lengths, [weight for *_, weight in lengths])[0]
        while True:
            a, b = number(random, one), number(random, other)
            if sign == "÷" and a * b > 9999:
                continue
            if sign == "÷":
                return a * b, b
            if sign == "-" and a < b and random.random() < 0.7:
                a, b = b, a
            return (b, a) if sign in "+×" and random.random() < 0.5 else (a, b)

    return draw


def _integer(sign: str) -> Callable[[tuple[int, ...], Language, bool, Random], Problem]:
    def write(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
        a, b = parameters
        steps = operate(sign, a, b, worked)
        answer = {"+": a + b, "-": a - b, "×": a * b, "÷": a // b}[sign]
        program = f"print({a}//{b})" if sign == "÷" else f"print({a}{PYTHON[sign]}{b})"
        question = ask(sign, str(a), str(b), language, random)
        return Problem(NAMES[sign], parameters, language, question, steps, sympy.Integer(answer), program)

    return write


NAMES = {"+": "sum", "-": "difference", "×": "product", "÷": "quotient"}
_PAIRS = tuple((a, b, 1.0 if max(a, b) > 1 else 0.3) for a in range(1, 5) for b in range(1, 5))
_FACTORS = (
    (1, 1, 0.3), (2, 1, 2.0), (3, 1, 2.0), (4, 1, 2.0), (2, 2, 3.0), (3, 2, 2.0),
    (4, 2, 1.0), (3, 3, 1.0), (4, 3, 0.4), (4, 4, 0.3),
)  # fmt: skip
_QUOTIENTS = ((1, 1, 0.3), (2, 1, 2.0), (3, 1, 2.0), (4, 1, 1.0), (1, 2, 1.0), (2, 2, 3.0), (1, 3, 0.5), (3, 2, 0.3))


def add_up(values: list[Fraction]) -> list[str]:
    """The sides of the chain that adds fractions: over a common denominator, as one fraction, in lowest terms."""
    total = sum(values, Fraction(0))
    if all(value.denominator == 1 for value in values) or len(values) == 1:
        return [str(total)]
    common = 1
    for value in values:
        common = common * value.denominator // gcd(common, value.denominator)
    over = [int(value * common) for value in values]
    sides = [signed([f"{abs(part)}/{common}" for part in over], over)]
    sides += [f"{sum(over)}/{common}"] if sum(over) else []
    return [*sides, str(total)] if sides[-1] != str(total) else sides


def signed(texts: list[str], signs: list[int]) -> str:
    """The terms with their signs: `3/4-1/6`."""
    text = "".join(("-" if sign < 0 else "+") + term for term, sign in zip(texts, signs, strict=True))
    return text.removeprefix("+")


def _fraction_draw(random: Random) -> tuple[int, ...]:
    while True:
        b, d = random.randrange(2, 13), random.randrange(2, 13)
        a, c = random.randrange(1, b + 3), random.randrange(1, d + 3)
        if gcd(a, b) == 1 and gcd(c, d) == 1:
            return a, b, c, d


def _fraction(sign: str) -> Callable[[tuple[int, ...], Language, bool, Random], Problem]:
    def write(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
        a, b, c, d = parameters
        one, other = Fraction(a, b), Fraction(c, d)
        value = {"+": one + other, "-": one - other, "×": one * other, "÷": one / other}[sign]
        start = f"{one}{sign}{other}"
        if sign in "+-":
            sides = [start, *add_up([one, other if sign == "+" else -other])]
        else:
            top, bottom = (c, d) if sign == "×" else (d, c)
            sides = [f"{one}÷({other})", f"{one}×{top}/{bottom}"] if sign == "÷" else [start]
            sides += [f"({a}×{top})/({b}×{bottom})", f"{a * top}/{b * bottom}", str(value)]
        if not worked:
            sides = [sides[0], str(value)]
        kept = [side for place, side in enumerate(sides) if place == 0 or side != sides[place - 1]]
        form = random.choice(("{}/{}", "\\frac{{{}}}{{{}}}")).format
        question = ask(sign, form(a, b), form(c, d), language, random).replace("x ", "× ").replace("/ ", "÷ ")
        program = f"from fractions import Fraction\nprint(Fraction({a},{b}){PYTHON[sign]}Fraction({c},{d}))"
        answer = sympy.Rational(value.numerator, value.denominator)
        name = f"fraction_{NAMES[sign]}"
        return Problem(name, parameters, language, question, "=".join(kept), answer, program)

    return write


LOWEST: Wordings = {
    "en": ("Simplify {e}.", "Reduce {e} to lowest terms.", "What is {e} in lowest terms?"),
    "zh": ("化简{e}。", "把{e}化为最简分数。"),
}


def _lowest_draw(random: Random) -> tuple[int, ...]:
    while True:
        a, b, k = random.randrange(1, 20), random.randrange(2, 20), random.randrange(2, 10)
        if gcd(a, b) == 1:
            return a * k, b * k


def _lowest(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
    a, b = parameters
    k = gcd(a, b)
    middle = f"({a // k}×{k})/({b // k}×{k})=" if worked else ""
    steps = f"{a}/{b}={middle}{a // k}/{b // k}"
    form = random.choice(("{}/{}", "\\frac{{{}}}{{{}}}"))
    question = random.choice(LOWEST[language]).format(e=form.format(a, b))
    program = f"from fractions import Fraction\nprint(Fraction({a},{b}))"
    return Problem("lowest_terms", parameters, language, question, steps, sympy.Rational(a, b), program)


PERCENT: Mapping[str, Wordings] = {
    "percent_of": {
        "en": ("What is {p}% of {n}?", "Find {p}% of {n}.", "Calculate {p} percent of {n}.", "{p}% of {n}"),
        "zh": ("{n}的{p}%是多少？", "求{n}的{p}%。"),
    },
    "percent_up": {
        "en": ("Increase {n} by {p}%.", "A price of {n} dollars rises by {p}%. What is the new price?"),
        "zh": ("{n}增加{p}%后是多少？", "一件商品原价{n}元，涨价{p}%，现价多少元？"),
    },
    "percent_down": {
        "en": ("Decrease {n} by {p}%.", "A price of {n} dollars falls by {p}%. What is the new price?"),
        "zh": ("{n}减少{p}%后是多少？", "一件商品原价{n}元，降价{p}%，现价多少元？"),
    },
    "percent_what": {
        "en": ("What percent of {n} is {part}?", "{part} is what percent of {n}?"),
        "zh": ("{part}是{n}的百分之几？", "{part}占{n}的百分之多少？"),
    },
}


def _percent_draw(random: Random) -> tuple[int, ...]:
    while True:
        p, n = random.choice((*range(5, 100, 5), *range(1, 100))), random.randrange(10, 1000)
        if p * n % 100 == 0:
            return p, n


def _percent(name: str) -> Callable[[tuple[int, ...], Language, bool, Random], Problem]:
    def write(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
        p, n = parameters
        part = n * p // 100
        if name == "percent_what":
            steps, answer = f"{part}×100={part * 100}\n{brief('÷', part * 100, n, worked)}", p
            program = f"print({part}*100//{n})"
        else:
            steps, answer = f"{brief('×', n, p, worked)}\n{n * p}÷100={part}", part
            program = f"print({n}*{p}//100)"
        if name in ("percent_up", "percent_down"):
            sign = "+" if name == "percent_up" else "-"
            answer = n + part if sign == "+" else n - part
            steps += f"\n{brief(sign, n, part, worked)}"
            program = f"print({n}{sign}{n}*{p}//100)"
        question = random.choice(PERCENT[name][language]).format(p=p, n=n, part=part)
        return Problem(name, parameters, language, question, steps, sympy.Integer(answer), program)

    return write


KINDS = (
    Kind("sum", 4, _integers("+", _PAIRS), _integer("+")),
    Kind("difference", 4, _integers("-", _PAIRS), _integer("-")),
    Kind("product", 7, _integers("×", _FACTORS), _integer("×")),
    Kind("quotient", 6, _integers("÷", _QUOTIENTS), _integer("÷")),
    Kind("fraction_sum", 2.5, _fraction_draw, _fraction("+")),
    Kind("fraction_difference", 2.5, _fraction_draw, _fraction("-")),
    Kind("fraction_product", 2, _fraction_draw, _fraction("×")),
    Kind("fraction_quotient", 2, _fraction_draw, _fraction("÷")),
    Kind("lowest_terms", 1, _lowest_draw, _lowest),
    Kind("percent_of", 2.5, _percent_draw, _percent("percent_of")),
    Kind("percent_up", 1.5, _percent_draw, _percent("percent_up")),
    Kind("percent_down", 1.5, _percent_draw, _percent("percent_down")),
    Kind("percent_what", 1.5, _percent_draw, _percent("percent_what")),
)
