"""When two dollar signs are a formula's delimiters and when they are money, variables of a shell, or anything else.

Nothing in the text tells the two apart, so each rule here is a guess. They were collected from reports of chat pages
that set "costs $5 and $6" as a formula, or left `$3$` as text.
"""

import re

_QUIET = re.compile(
    r"\\(?:text\w*|mbox|hbox|math[a-z]+|operatorname\*?|begin|end|tag)\s*\{[^{}]*\}|\\[A-Za-z]+|\\.|[_^]\{[^{}]*\}"
)
_WORD = re.compile(r"[A-Za-z]{2,}")
_LOWER_WORD = re.compile(r"[A-Za-z]*[a-z][A-Za-z]+|[A-Za-z]+[a-z]")
_CHINESE = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
MARKED = re.compile(r"[\\^_]")  # what prose has not
_OPERATOR = re.compile(r"[-+*/=<>|^_\\×÷≤≥]")
_TWO_WORDS = re.compile(r"\b[A-Za-z]+ +[a-z]{2,}|\b[a-z]{2,} +[A-Za-z]")
# The next item of a list, row of a table, or a heading.
_NEXT_LINE = re.compile(r"\n[ \t>]*(?:\d+[.)]|#{1,6})[ \t]|\n[ \t>]*[-*+][ \t](?s:.*)\s\Z|\|[ \t]*\n[ \t>]*\|")
_ENDED = re.compile(r"[.!?]\s+[A-Z][a-z]|[。！？；](?=.)")
_CUT_OFF = re.compile(r"[,;!?)、，。；：！？）]|\.(?!\d)|:(?!=)")  # what follows an amount: "35$, 40$"
_PRIMED = re.compile(r"[\dA-Za-z)}](?:'{1,3}|\")\Z")  # feet, inches, minutes, derivatives
_DANGLING = ",;:.+-*/=<>([{|&~\"'`–—、，。；："
_FUNCTIONS_AND_UNITS = (
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim max min sup inf gcd lcm mod deg det "
    "dim ker arg sgn cm mm km kg mg ml mL dm ft lb oz hr sec min mph rad Hz Pa kPa kJ kW dx dy dz dt du"
)
_STOPS = ".,;:，。；："  # may end a formula's text
_NAMES = frozenset(_FUNCTIONS_AND_UNITS.split())


def is_formula(content: str, before: str, after: str) -> bool:
    """Whether `$content$` is one; `before` and `after` are its neighbours, one character or nothing."""
    inner = content.strip()
    if not inner or _CUT_OFF.match(inner):
        return False
    if before.isdigit() and not (inner[0].isalpha() or inner[0] == "\\"):
        return False
    cut = inner[-1] in _DANGLING and not inner.endswith(("\\.", "\\|", "\\,", "\\;", "\\:"))
    if cut and after.isalnum() and after.isascii():
        return False
    amount = inner[0].isdigit()
    open_end = cut and (inner[-1] not in _STOPS or content[-1].isspace()) and not _PRIMED.search(inner)
    if amount and (after.isdigit() or open_end):
        return False
    if _ENDED.search(inner) or _NEXT_LINE.search(content):
        return False
    return _reads_as_formula(content, amount, after)


def _reads_as_formula(content: str, amount: bool, after: str) -> bool:
    blank_before, blank_after = content[0].isspace(), content[-1].isspace()
    marked = MARKED.search(content) is not None
    rest = _without_names(_QUIET.sub(" \u2060 ", content))
    if _CHINESE.search(rest):
        named = marked or "=" in rest or not re.search(r"[\s，、（）]", rest.strip())
        return named and not amount and not (after.isalpha() and after.isascii())
    if amount:
        return not _LOWER_WORD.search(rest) and not (blank_after and after.isalnum())
    if blank_before != blank_after and not marked:
        return False
    if blank_before and _LOWER_WORD.search(rest) and not _OPERATOR.search(content):
        return False
    return marked or not _TWO_WORDS.search(rest)


def _without_names(rest: str) -> str:
    return _WORD.sub(lambda word: "\u2060" if word[0] in _NAMES else word[0], rest)


def may_become_one(content: str) -> bool:
    """Whether `$content` can still become a formula when more of it arrives."""
    rest = _without_names(_QUIET.sub(" \u2060 ", content))
    arrived = rest[: rest.rfind(" ") + 1]
    if content[:1].isdigit():
        return not _LOWER_WORD.search(arrived) and not _CHINESE.search(rest)
    return MARKED.search(content) is not None or not _TWO_WORDS.search(arrived)
