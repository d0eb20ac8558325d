r"""One character for each meaning: what is typed in other characters, or by habit in other words, becomes one LaTeX.

>>> fold("３÷２")
'3\\div 2'
"""

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—", "-"),
        **dict.fromkeys("×✕", r"\times "),
        **dict.fromkeys("·⋅∙", r"\cdot "),
        **dict.fromkeys("≤⩽≦", r"\le "),
        **dict.fromkeys("≥⩾≧", r"\ge "),
        **dict.fromkeys("′’‘", "'"),
        **{"∶": ":", "：": ": "},
        **dict.fromkeys("，、", ", "),
        **dict.fromkeys("￥¥", "¥"),
        **dict.fromkeys("【［", "["),
        **dict.fromkeys("】］", "]"),
        **{"；": "; ", "。": ".", "÷": r"\div ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "∞": r"\infty "},
        **{"∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "√": r"\sqrt "},
        **{"°": r"\degree ", "℃": r"\degree C", "℉": r"\degree F", "∖": r"\setminus ", "→": r"\to "},
        **{"ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}"},
        **{"π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda "},
        **{"φ": r"\phi ", "ω": r"\omega ", "μ": r"\mu ", "∠": r"\angle ", "△": r"\triangle "},
        **{"⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil "},
    }
)
_DOUBLED = (  # commands whose backslash may be written twice, as in a string of a program
    "[dt]?frac|sqrt|boxed|text|mathbb|pi|left|right|begin|end|cdot|times|infty|log|ln|sin|cos|tan|pm|leq?|geq?|neq?|in|cup"
)
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"^([\s$]*)\*+|\*+([\s$.,;]*)$", r"\1\2"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))", r"\\degree "),
        (r"\\hat(?=[\s{]*(?:\\mathbf[\s{]*)?(?:[ijk]|\\[ij]math)(?![A-Za-z]))", " "),
        (r"(?<=\d)\s*[xX]\s*(?=10\s*\^)|(?<=\d)\s+[xX]\s+(?=\d)", r"\\times "),
        (r"(?<=\d)\s*又\s*(?=[\d\\])", " "),
        (r"(?i)(?<![A-Za-z])([ap])\.\s?m\.?(?![A-Za-z])", r"\1m "),
        (r"^((?:[\s$]|\\[([]|\\displaystyle|\\boxed\{|\\text\w*\{)*)([A-H])\s*\)", r"\1(\2)"),
        (r"或者?|以及", " or "),
        (r"且|(?<![\u4e00-\u9fff])[和及与](?![\u4e00-\u9fff])", " and "),
        (r"百分之\s*(\d+(?:\.\d+)?)", r"\1%"),
        (r"\\left\s*\\\{(?=\s*\\begin)(.*?)\\right\s*\.", r"\1"),
        (r"\\(?:left|right)\s*\.", " "),
        (rf"(?<!\\)\\\\(?=(?:{_DOUBLED})\b)", r"\\"),
    ]
]


def fold(text: str) -> str:
    """The text with one character for each meaning: full-width, raised and typographic ones become ASCII and LaTeX."""
    text = re.sub(r"√\s*(\d+)", r"\\sqrt{\1}", text)  # covers the number, `\sqrt` one digit
    text = re.sub(r"(?<=[０-９])，(?=[０-９]{3}(?![０-９]))", ",", text)
    text = re.sub(r"[⁰¹²³⁴-⁾ⁿ]+", lambda found: f"^{{{unicodedata.normalize('NFKC', found[0])}}}", text)
    text = re.sub(r"[₀-₎]+", lambda found: f"_{{{unicodedata.normalize('NFKC', found[0])}}}", text)
    text = re.sub(r"[¼-¾⅐-⅞]", _vulgar_fraction, text)
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def _vulgar_fraction(found: re.Match[str]) -> str:
    top, bottom = unicodedata.normalize("NFKC", found[0]).split("\u2044")
    return rf"\frac{{{top}}}{{{bottom}}}"
