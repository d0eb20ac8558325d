r"""Letters of a multiple choice, however they are dressed: `A`, `(A)`, `A.`, `Option A`, 选A, `AC`, `A C`, `(A) 12`."""

import re

from deepseek_math.answers.spelling import ROUND, SQUARE, Tokens, spelled

_WORDS = {"option", "choice", "answer", "选项", "选", "答案", "故选", "应选", "选择", "项"}
_ONE = re.compile(r"[A-Ha-df-h]|[(\[][A-Ha-h][)\]]")
_SEVERAL = re.compile(r"[A-H]{2,8}|[A-H](?: [A-H])+|(?:\([A-H]\)){2,}")


def choice_of(tokens: Tokens) -> tuple[str, Tokens]:
    """The letters in order, and the tokens beside the only one; no letters where this is not a choice."""
    while len(tokens) > 1 and tokens[0].text.lower() in _WORDS | {":"}:
        tokens = tokens[1:]
    if len(tokens) > 1 and tokens[-1].text in _WORDS:
        tokens = tokens[:-1]
    if letters := _letters(tokens):
        return letters, ()
    if len(tokens) < 2 or not (letter := _letters(tokens[:1])) or len(letter) > 1:
        return "", ()
    rest = tokens[1:]
    if rest[0].text in {"and", "or", ",", ";"}:
        return "", ()
    if tokens[0].text in {ROUND, SQUARE} and rest[0].spaced:
        return letter, rest
    marked = rest[0].text == "." or (rest[0].text == ":" and len(rest) > 1 and rest[1].spaced)
    return (letter, rest[1:]) if marked and tokens[0].text.isupper() else ("", ())


def _letters(tokens: Tokens) -> str:
    text = spelled(tokens)
    letters = re.findall("[A-H]", text.upper())
    if not (_ONE.fullmatch(text) or _SEVERAL.fullmatch(text)) or len(set(letters)) < len(letters):
        return ""
    return "".join(sorted(letters))
