r"""Which of its question's options an answer chooses: `B`, `（B）`, `B选项`, `\text{Option B}`, `\textbf{(B)} 12`."""

import re

from deepseek_math.answers.extraction import tidy
from deepseek_math.evaluation.benchmark import Question

_FONT = re.compile(r"\\(?:text|textbf|textrm|textit|mathbf|mathrm|bf|rm|boldsymbol)\s*\{([^{}]*)\}|\*\*")
_WORD = r"(?:(?i:(?:the\s+)?(?:option|choice|answer)s?)\s*:?|选项)?\s*"
_OPENING, _CLOSING = r"[(\[{（【]?\s*", r"\s*[)\]}）】]?"
_AFTER = r"(?:\s*(?:选项|项))?"
_ONE = re.compile(rf"{_WORD}{_OPENING}([A-Ga-g]){_CLOSING}{_AFTER}\s*[.:：、,，。]?\s*(.*)", re.DOTALL)
_NEXT = r"[)\]}）】]?(?:[\s,，、;；和与]|and)*[(\[{（【]?[A-G]"
_SEVERAL = re.compile(rf"{_WORD}{_OPENING}([A-G](?:{_NEXT})+){_CLOSING}{_AFTER}[.。]?")
_PUNCTUATION = ".:：、,，。"
_CUT = re.compile(r"[\n,，;；.。?？!！]|$")  # where a claim may end before its option does


def choice(question: Question, answer: str | None) -> str | None:
    """The letters that an answer is, in order: alone or in brackets, a single one also with its option's own text after
    it. None for any other answer."""
    text = _FONT.sub(r"\1", answer or "").strip()
    one = _ONE.fullmatch(text)
    if one and (not one[2] or _is_option(one[2], question.options.get(one[1].upper(), ""))):
        return one[1].upper()
    several = _SEVERAL.fullmatch(text)
    return letters(several[1]) if several else None


def letters(label: str) -> str:
    """`A B D` as ABD."""
    return "".join(sorted(set(re.findall("[A-G]", label.upper()))))


def _is_option(text: str, option: str) -> bool:
    """Whether `text` is the option's, whole or up to the end of a sentence or of a part of one."""
    wanted = _bare(text)
    beginnings = [_bare(option[: cut.start()]) for cut in _CUT.finditer(option)]
    return wanted != "" and wanted in beginnings


def _bare(text: str) -> str:
    return tidy(_FONT.sub(r"\1", text)).replace(" ", "").lstrip(_PUNCTUATION)
