"""The language of a question: that of its suffix, and of a few-shot prompt's examples."""

import re
from typing import Literal

Language = Literal["en", "zh"]


def language(question: str) -> Language:
    """`zh` for a Chinese question. LaTeX commands and units don't count, nor Chinese words quoted in English.

    Kana marks Japanese, which the authors have no suffix for: it gets the English one.
    """
    prose = re.sub(r"\\[A-Za-z]+", " ", question)
    characters = len(re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff]", prose))
    words = len(re.findall(r"[A-Za-z]{3,}", prose))
    return "zh" if characters > words and not re.search(r"[\u3041-\u30ff]", prose) else "en"
