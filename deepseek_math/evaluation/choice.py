r"""Which of its question's options an answer chooses: `B`, `（B）`, `B选项`, `\text{Option B}`, `\textbf{(B)} 12`."""

import re

from deepseek_math.answers.extraction import tidy
from deepseek_math.evaluation.benchmark import Question

_FONT = re.compile(r"\\(?:text|textbf|textrm|textit|mathbf|mathrm|bf|rm|boldsymbol)\s*\{([^{}]*)\}|\*\*")
_WORD = r"(?:(?:the\s+)?(?:option|choice|answer)s?\s*:?|选项)?\s*"
_OPENING, _CLOSING = r"[(\[{（【]?\s*", r"\s*[)\]}）】]?"
_ONE = re.compile(
    rf"{_WORD}{_OPENING}([A-Ga-g]){_CLOSING}(?:\s*(?:选项|项))?\s*[.:：、,，。]?\s*(.*)", re.DOTALL | re.IGNORECASE
)
_NEXT = rf"{_CLOSING}(?:[\s,，、;；和与]|and)*{_OPENING}[A-G]"
_SEVERAL = re.compile(rf"{_WORD}{_OPENING}([A-G](?:{_NEXT})+){_CLOSING}[.。]?")
_CUT = ",，;；.。"  # where an option's text may be cut off: the rest of the sentence explains


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
    """Whether `text` is the option's, whole or up to the end of a sentence or part of one."""
    text, option = _bare(text), _bare(option)
    return text == option or (bool(text) and option.startswith(text) and option[len(text)] in _CUT)


def _bare(text: str) -> str:
    return tidy(_FONT.sub(r"\1", text)).replace(" ", "")
