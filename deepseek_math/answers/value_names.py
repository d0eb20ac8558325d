r"""What a value may be called: `x`, `a_1`, `f(x)`, `AB`, `\angle A`, `(x,y)`, `A:B`, `\frac{AB}{CD}`, "area"."""

import re

from deepseek_math.answers.expressions import FUNCTIONS, GREEK
from deepseek_math.answers.phrases import plain_words
from deepseek_math.answers.spelling import BRACES, ROUND, Tokens, spelled, split

_LETTER = rf"(?:[A-Za-z]|\\(?:{GREEK})(?![A-Za-z]))"
_INDEX = r"(?:_(?:\w+|\{[^{}=<>]*\}))?'*"
_NAME = re.compile(
    rf"""(?x) {_LETTER} {_INDEX} (?: \^\{{-1\}} )? (?: \( .* \) )? | [A-Z]{{2,4}}
    | m? \\(?:angle|triangle) \s? [A-Z\d]{{1,3}} | \\(?:overline|bar) \s? \{{? \w+ \}}?
    | \\?(?:{FUNCTIONS}) (?: \s? {_LETTER} | \\angle\s?[A-Z]+ | \({_LETTER}\) )"""
)
_DESCRIPTION = re.compile(r"[a-z\u4e00-\u9fff ]{2,}")
_RATIO = re.compile(r"[:/]|^\\frac|ratio|比")


def name_of(tokens: Tokens) -> str | None:
    """The name that these tokens are, or None."""
    text = spelled(tokens)
    words = plain_words(tokens)
    if words and (len(text) > 3 or tokens[0].kind == "han") and not text.isupper():
        return words
    if _NAME.fullmatch(text):
        return text
    parts = _parts(tokens)
    return text if parts and all(name_of(part) is not None for part in parts) else None


def _parts(tokens: Tokens) -> list[Tokens]:
    """The names that a ratio, a union, a fraction, a point, a vector or an absolute value is made of."""
    for sign in (":", "/", r"\cup", r"\cap"):
        pieces = split(tokens, {sign})
        if len(pieces) > 1:
            return pieces
    if len(tokens) == 3 and tokens[0].text == r"\frac":
        return [part.parts or (part,) for part in tokens[1:]]
    if len(tokens) == 1 and tokens[0].text in {ROUND, BRACES, "matrix"}:
        return split(tokens[0].parts, {",", "&", r"\\"})
    if len(tokens) > 2 and tokens[0].text == tokens[-1].text == "|":
        return [tokens[1:-1]]
    return []


def is_description(name: str) -> bool:
    """Words like "area" tell which value is asked for; two answers may use other words."""
    return _DESCRIPTION.fullmatch(name) is not None


def is_ratio(name: str) -> bool:
    return _RATIO.search(name) is not None
