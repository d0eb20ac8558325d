r"""The form in which the published grader compares answers: no markup, units, degrees, dollars or blanks.

    >>> normal(r"\dfrac12 \text{ cm}")
    '\\frac{1}{2}'

Source: `strip_string` in evaluation/data_processing/answer_extraction.py.
"""

import re

Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*pairs: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


_TRAILING_TEXT = re.compile(r"\\text{.*?}$")
_UNITS = _rules(
    (r"\^(?:\{\\circ\}|\\circ)", ""),
    (r"\{[cm]?m\}(?:\^[23])?", ""),
    (r"p\.m\.$", ""),
    (r"(\d)\s*t$", r"\1"),
)
_SYMBOLS = _rules(
    (r"\\?\$|x\\in", ""),
    (r"\\%", "%"),
    (r"( |\{)\.", r"\g<1>0."),
    (r"\\cdot", ""),
    (r"infinity", r"\\infty"),
)
_FONTS = _rules((r"\\mathbf|\\mathrm", ""), (r"\\mbox{.*?}", ""))
_NUMBERS = _rules((r"(\d)\.0+(?=\D|$)", r"\1"), (r"^\.", "0."))
_ARGUMENTS = _rules(
    (r"\\(sqrt|tan)(-?[0-9.a-zA-Z]+)", r"\\\1{\2}"),
    (r"\\(sqrt|tan)\s+(\w+)$", r"\\\1{\2}"),
    (r" ", ""),
)
_FRACTIONS = _rules((r"\\frac([^{])([^{])", r"\\frac{\1}{\2}"), (r"\\frac([^{])\{", r"\\frac{\1}{"))
_FRACTION_CUT_OFF = re.compile(r"\\frac[^{]?(?:\\frac|$)")
_INTEGER = r"-?(?:0|[1-9]\d*)|[^/]*sqrt[^/]*"
_SLASH = re.compile(rf"({_INTEGER})/({_INTEGER})")
_END = re.compile(r"(?:\\|,|\.)+$")


def normal(answer: str) -> str:
    """May be empty: units alone and `\\mbox{...}` are dropped, as there."""
    text = answer.strip().replace("\n", "").rstrip(".").replace("\\!", "")
    if text.startswith("\\text{") and text.endswith("}"):
        text = text.removeprefix("\\text{")[:-1]
    text = re.sub(r"[tdc]frac", "frac", text)
    text = re.sub(r"\\left|\\right", "", text)
    text = _TRAILING_TEXT.sub("", text).strip() or text
    for pattern, replacement in _UNITS:
        text = pattern.sub(replacement, text).strip()
    text = _replaced(text, _SYMBOLS)
    if "\\infty" not in text:
        text = text.replace("inf", "\\infty")
    text = _replaced(text, _FONTS)
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    text = _replaced(text, _NUMBERS)
    text = _replaced(text, _ARGUMENTS)
    if not _FRACTION_CUT_OFF.search(text):
        text = _replaced(text, _FRACTIONS)
    slash = _SLASH.fullmatch(text)
    if slash:
        text = f"\\frac{{{slash[1]}}}{{{slash[2]}}}"
    return _END.sub("", text)


def _replaced(text: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
