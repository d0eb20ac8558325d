r"""One formula set as MathML, by math-core. What can't be set is shown as its source: never red, never lost.

    >>> set_formula(r"\boxed{5}", display=False)
    '<math><mrow class="box"><mn>5</mn></mrow></math>'

math-core escapes text and refuses what could run or load (`\href`, `\includegraphics`). What it reads otherwise than
models write is rewritten first, and each rewrite is a row here.
"""

import re
from functools import lru_cache
from html import escape

from math_core import LatexError, LatexToMathML

from deepseek_math.page.dollars import is_formula

MAX_LENGTH = 5000  # characters: a longer one is shown as its source
MAX_EXPANSIONS = 100  # of macros that the formula itself defines

# Commands that math-core lacks, in terms of those that it has.
MACROS = {
    "mbox": r"\text{#1}",
    "hbox": r"\text{#1}",
    "textup": r"\text{#1}",
    "pmb": r"\boldsymbol{#1}",
    "smash": r"{#1}",
    "overarc": r"\overparen{#1}",
    "wideparen": r"\overparen{#1}",
    "substack": r"\begin{subarray}{c}#1\end{subarray}",
    "textsuperscript": r"{}^{\text{#1}}",
    "textdollar": r"\$",
    "mathdollar": r"\$",
    "AA": "Å",
    "centerline": "{#1}",
    "celsius": r"^{\circ}\text{C}",
    "smallsetminus": r"\setminus",
    "parallelogram": "▱",
    "arccot": r"\operatorname{arccot}",
    "arcsec": r"\operatorname{arcsec}",
    "lcm": r"\operatorname{lcm}",
    "sgn": r"\operatorname{sgn}",
    "dotsb": r"\cdots",
    "dotsc": r"\ldots",
    "dotsm": r"\cdots",
    "strut": "{}",
    "hfill": r"\quad",
    "ensuremath": "{#1}",
    "llap": "{#1}",
    "rlap": "{#1}",
    "mathllap": "{#1}",
    "mathrlap": "{#1}",
    "mathclap": "{#1}",
    "cancelto": r"\cancel{#2}^{#1}",
    "longdiv": r"\overline{)#1}",
    "qed": r"\square",
    "abs": r"\left|#1\right|",
    "norm": r"\left\|#1\right\|",
    "SI": r"{#1}\,\mathrm{#2}",
    "qty": r"{#1}\,\mathrm{#2}",
    "si": r"\mathrm{#1}",
    "unit": r"\mathrm{#1}",
    "num": "{#1}",
    "textcelsius": "℃",
    "euro": "€",
    "cent": "¢",
}
_LENGTH = r"\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm|in|mu|px|bp|pc)\s*\]"
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
        (rf"\\\\\*?\s*{_LENGTH}", r"\\\\ "),  # the space after a row
        (r"(?<!\\)\\\*", "*"),  # escaped for Markdown
        (r"\\(begin|end)\s?\{([pbvBV]?matrix)\*\}(?:\[[lcr]\])?", r"\\\1{\2}"),
        (r"\\vspace\*?\s?\{[^{}]*\}|\\(?:allowbreak|displaybreak|par)(?![A-Za-z])", ""),
        (r"(?<!\\)((?:\\\\)*)%", r"\1\\%"),  # no comments: models mean per cent
        (r"(?<!\\)((?:\\\\)*)#", r"\1\\#"),
        (r"\\(begin|end)\s?\{(?:split|alignat|alignedat|flalign)\*?\}(?:\{\d+\})?", r"\\\1{aligned}"),
        (r"\\(begin|end)\s?\{smallmatrix\}", r"\\\1{matrix}"),
        (r"\\begin\s?\{eqnarray\*?\}", r"\\begin{array}{rcl}"),
        (r"\\end\s?\{eqnarray\*?\}", r"\\end{array}"),
        (r"\\(?:begin|end)\s?\{(?:displaymath|math|subequations)\}", ""),
        (r"\\(begin|end)\s?\{(align|equation|gather|multline)\}", r"\\\1{\2*}"),  # numbers nobody refers to
        (r"\\(left|[bB]igg?l)\s?<", r"\\\1\\langle "),
        (r"\\(right|[bB]igg?r)\s?>", r"\\\1\\rangle "),
        (r"\\(?:label|require)\s?\{[^{}]*\}", ""),
        (r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge)(?![A-Za-z])", ""),
        (r"\\(?:centering|noindent)(?![A-Za-z])", ""),
        (r"\\(?:short)?intertext\s?(\{[^{}]*\})", r"\\text\1 \\\\"),  # words between two rows
        (r"\\(?:fcolorbox\s?\{[^{}]*\}|colorbox)\s?\{[^{}]*\}\s?(?=\{)", r"\\text"),
        (r"\^('+)", r"\1"),
    )
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|textnormal|textup|mbox|hbox)\s*\{")
_INNER = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\^\{([^{}]*)\}|\^(\w)")
_PAIR = re.compile(r"(?<!\\)\$([^$\\]*)\$")
_TAG = re.compile(r"\\tag(\*?)\s?\{([^{}]*)\}")
_NUMBERED = re.compile(r"\\begin\{(?:align|equation|gather|multline)\*")
_ALIGNED = re.compile(r"(?<!\\)(?:\\\\)*&|\\\\")
_OWN_ROWS = re.compile(r"\\begin\s?\{([A-Za-z]+\*?)\}.*\\end\s?\{\1\}|\\substack\s?\{[^{}]*\}", re.DOTALL)
_ENCLOSED = re.compile(r'<menclose notation="(\w+)">')

_converter = LatexToMathML(
    macros=MACROS, fancy_error=False, max_expansions=MAX_EXPANSIONS, allow_unreliable_rendering=True
)


@lru_cache(maxsize=4096)
def set_formula(source: str, display: bool) -> str | None:
    """Its MathML, or None where it can't be set."""
    if len(source) > MAX_LENGTH:
        return None
    try:
        mathml = _converter.convert_with_local_state(rewritten(source), displaystyle=display)
    except LatexError:
        return None
    # Chromium draws no line for menclose: the page's style sheet does.
    return _ENCLOSED.sub(r'<mrow class="\1">', mathml).replace("</menclose>", "</mrow>")


def shown(source: str) -> str:
    """A formula's source as HTML."""
    return f'<code class="source">{escape(source)}</code>'


def rewritten(source: str) -> str:
    """The formula in the LaTeX that math-core reads."""
    for pattern, replacement in _REWRITES:
        source = pattern.sub(replacement, source)
    source = _with_money(_with_plain_texts(source))
    if not _NUMBERED.search(source):
        source = _TAG.sub(lambda tag: rf"\qquad\text{{{tag[2] if tag[1] else f'({tag[2]})'}}}", source)
    if _ALIGNED.search(_OWN_ROWS.sub("", source)):
        return rf"\begin{{aligned}}{source}\end{{aligned}}"
    return source


def _with_plain_texts(source: str) -> str:
    r"""With nothing in `\text{...}` but text: formulas in it stand beside it, and its signs are escaped."""
    parts = []
    at = 0
    while command := _TEXT.search(source, at):
        end = _closing(source, command.end())
        parts.append(source[at : command.start()])
        name = command[0].rstrip("{").rstrip()
        parts.append(_split_text(name, source[command.end() : end]))
        at = end + 1
    return "".join([*parts, source[at:]])


def _with_money(source: str) -> str:
    r"""Dollar signs in a formula, `\boxed{$5}`: those around another formula are taken out, the rest is money."""
    if "$" not in source:
        return source
    source = _PAIR.sub(lambda pair: pair[1] if is_formula(pair[1], "", "") else pair[0], source)
    return re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\$", source)


def _split_text(name: str, content: str) -> str:
    parts = []
    at = 0
    for inner in _INNER.finditer(content):
        parts.append(_plain(name, content[at : inner.start()]))
        formula = inner[1] or inner[2]
        parts.append(f"{{{formula}}}" if formula else f"{{}}^{{\\text{{{inner[3] or inner[4]}}}}}")
        at = inner.end()
    return "".join([*parts, _plain(name, content[at:])])


def _plain(name: str, words: str) -> str:
    if not words:
        return ""
    words = re.sub(r"(?<!\\)([_&$])", r"\\\1", words.replace(r"\\", " "))
    words = re.sub(r"\\([%$&#_])(?=\s)", r"\\\1{}", words)  # math-core takes the blank after it for its end
    return f"{name}{{{words}}}"


def _closing(source: str, at: int) -> int:
    """Where the group that begins at `at` ends."""
    depth = 1
    for token in re.finditer(r"\\.|[{}]", source[at:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return at + token.start()
    return len(source)
