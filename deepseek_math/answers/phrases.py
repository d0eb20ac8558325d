"""Words that say what signs say too: "no solution" is the empty set, 全体实数 all real numbers, "yes" 是.

A phrase has no article and no capitals; `plain_words` makes one of tokens.
"""

import re
from fractions import Fraction

from deepseek_math.answers.expressions import Node
from deepseek_math.answers.forms import Combined, Expression, Form, Many, Number, Row, Text
from deepseek_math.answers.spelling import ROUND, Tokens, spelled

INFINITY = Expression(Node("infinity"))
MINUS_INFINITY = Expression(Node("-", (Node("infinity"),)))
ZERO = Number(Fraction(0))
NOTHING = Many(())
EVERYWHERE = Row((MINUS_INFINITY, INFINITY), ROUND)
_POSITIVE = Row((ZERO, INFINITY), ROUND)
_NEGATIVE = Row((MINUS_INFINITY, ZERO), ROUND)

_SPELLINGS: list[tuple[Form, str]] = [
    (NOTHING, r"\emptyset; empty set; empty; null set; 空集"),
    (
        EVERYWHERE,
        r"""\mathbb{R}; all real numbers; all reals; all real x; real numbers; reals; every real number;
        any real number; set of all real numbers; set of real numbers;
        全体实数; 所有实数; 一切实数; 任意实数; 实数集; 实数""",
    ),
    (
        _POSITIVE,
        r"\mathbb{R}^+; \mathbb{R}_+; \mathbb{R}_{>0}; \mathbb{R}^{>0}; positive real numbers; positive reals; 正实数",
    ),
    (
        _NEGATIVE,
        r"\mathbb{R}^-; \mathbb{R}_-; \mathbb{R}_{<0}; \mathbb{R}^{<0}; negative real numbers; negative reals; 负实数",
    ),
    (Row(_POSITIVE.items, "[ )"), r"\mathbb{R}_{\ge0}; \mathbb{R}^{\ge0}; nonnegative real numbers; 非负实数"),
    (Combined(r"\setminus", (EVERYWHERE, Many((ZERO,)))), r"\mathbb{R}^*; \mathbb{R}_{\ne0}; nonzero real numbers"),
    (INFINITY, "infinity; positive infinity; inf; 正无穷; 正无穷大; 无穷大"),
    (MINUS_INFINITY, "negative infinity; minus infinity; 负无穷; 负无穷大"),
    (Text(r"\mathbb{Z}"), "all integers; integers; set of integers; set of all integers; 全体整数; 整数; 整数集"),
    (Text(r"\mathbb{N}"), "natural numbers; all natural numbers; 自然数"),
    (Text(r"\mathbb{Q}"), "rational numbers; all rational numbers; 有理数"),
    (Text(r"\mathbb{C}"), "complex numbers; all complex numbers; 复数"),
    (Text("是"), "yes"),
    (Text("否"), "no; 不是"),
    (Text("正确"), "true; 对"),
    (Text("错误"), "false; 错"),
    (Text("does not exist"), "dne; limit does not exist; 不存在"),
]
PHRASES: dict[str, Form] = {
    " ".join(phrase.split()): form for form, phrases in _SPELLINGS for phrase in phrases.split(";")
}


_NO_SOLUTION = re.compile(
    r"(?:.* )?no (?:real |such )?(?:solution|root|value|number)s?(?: exists?)?|.*[无没]有?实?数?[解根]"
)


def phrase_of(tokens: Tokens) -> Form | None:
    """What the tokens say as a phrase, if they are a known one."""
    words = plain_words(tokens)
    return NOTHING if _NO_SOLUTION.fullmatch(words) else PHRASES.get(words or spelled(tokens))


def plain_words(tokens: Tokens) -> str:
    """The tokens as a phrase, or nothing if some are not words."""
    if any(token.kind not in {"word", "han"} and token.text != "'" for token in tokens):
        return ""
    return re.sub(r"^(?:the|a|an) ", "", " ".join(token.text for token in tokens).lower())
