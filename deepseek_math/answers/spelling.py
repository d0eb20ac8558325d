"""How an answer is spelled: one normal form for what differs in typography only, units, and numbers read exactly.

math-verify rounds decimals to six places, drops any trailing letter that could be a unit (`2x+c` loses its `c`) and
reads percent as optional. So decimals become fractions here, and only what stands after a number is taken for a unit.
"""

import re
import unicodedata
from fractions import Fraction

MAX_POWER = 3000  # largest power of ten that scientific notation is read with

_SIGNS = {
    **{"−": "-", "–": "-", "—": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot "},
    **{"≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "∪": r"\cup "},
    **{
        "∈": r"\in ",
        "±": r"\pm ",
        "°": r"^\circ ",
        "℃": r"^\circ C",
        "∅": r"\emptyset ",
        "ℝ": r"\mathbb{R}",
        "π": r"\pi ",
        "′": "'",
    },
    **{"√": r"\sqrt ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ", "，": ", ", "、": ", "},
    **{"；": "; ", "¥": "¥", "￥": "¥", "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "¼": r"\frac{1}{4}"},
    **{"¾": r"\frac{3}{4}", "⅔": r"\frac{2}{3}", "。": "."},
    **{power: "^" + digit for power, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)},
    **{index: "_" + digit for index, digit in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)},
}
_FOLD = str.maketrans(_SIGNS)

_REWRITES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"√\s*(\d+)", r"\\sqrt{\1}"),  # before folding: the sign covers the whole number, `\sqrt` one digit
        (r"(?<!\\)\$|(?<!\\)\\[()]|(?<!\\)\\[\[\]]", ""),
        (r"(?<!\\)\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])\.?", ""),
        (r"(?<!\\)\\(?:[,;: ]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|(?<!\\)~", " "),
        (r"(?<!\\)\\!|\{,\}(?=\d{3})", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(le|ge|ne)q(?:slant)?(?![A-Za-z])", r"\\\1 "),
        (r"\\(?:lbrace|\{)", r"\\{"),
        (r"\\(?:rbrace|\})", r"\\}"),
        (r"\\(?:varnothing|emptyset)(?![A-Za-z])", r"\\{\\}"),
        (r"\\degree(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ"),
        (r"\\(?:mathbf|mathit|boldsymbol|bm|mathrm)\s*\{\s*([ie]|(?<!mathrm\{)[A-Za-z])\s*\}", r" \1"),
        (r"\\(?:mathrm|mathbf|textbf|textrm|textit|textnormal|mathsf|mbox|hbox|operatorname)(?![A-Za-z])", r"\\text"),
        (r"\\%", "%"),
        (r"(?i)\s*(?:\\text\s*\{\s*)?\b(?:percent|per cent)\b\s*\}?", "%"),
        (r"百分之\s*(\d+(?:\.\d+)?)", r"\1%"),
        (r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|ln|log|pi|infty)(?![A-Za-z])", r"\\\1 "),
        (r"(?<![\\A-Za-z])(?:infinity|inf)(?![A-Za-z])", r"\\infty "),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"\\frac\s*(\d|[a-z])\s*(\d|[a-z])(?![A-Za-z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\{[^{}]*\})\s*([0-9A-Za-z])", r"\\frac\1{\2}"),
        (r"\\frac\s*(\d|[a-z])\s*(\{)", r"\\frac{\1}\2"),
        (r"\\lg(?![A-Za-z])", r"\\log_{10} "),
        (r"\\mathbb\s*(?:R|\{\s*R\s*\})|(?i:\ball real numbers\b)|[全所][体有]实数", r"(-\\infty,\\infty)"),
        (r"(?<![\d.,}])(\d+) (\d+)/(\d+)(?![\d.])", r"\1\\frac{\2}{\3}"),
        (r"\^\s*(\d{2,})", r"^{\1}"),
        (r"([_^])\s*\{\s*(\w)\s*\}", r"\1\2"),
        (r"\s+", " "),
    ]
]
_PREFIX = re.compile(r"^(?:\*\*|`|答案?\s*[:：]|解\s*[:：])\s*")
_DISCARD = re.compile(r"\s+(?=\W)|(?<=[^\w\\,])\s+|(?<=\d)\s+(?=[A-Za-z\\])|(?<=[A-Za-z])\s+(?=\d)")


def normal(text: str) -> str:
    r"""One spelling for what differs in typography only: width, `$`, spacing commands, `\dfrac`, trailing full stop."""
    text = _REWRITES[0][0].sub(_REWRITES[0][1], text)
    text = unicodedata.normalize("NFKC", text.translate(_FOLD))
    for pattern, replacement in _REWRITES[1:]:
        text = pattern.sub(replacement, text)
    text = _PREFIX.sub("", text.strip())
    return text.rstrip(" .,;:*`")


def key(text: str) -> str:
    """Two texts with the same key are the same answer: the normal form without the spaces that mean nothing."""
    return _DISCARD.sub("", normal(text))


_ALIASES = """
    mm=millimeter,millimetre,毫米; cm=centimeter,centimetre,厘米; dm=decimeter,分米; m=meter,metre,米; km=kilometer,
    kilometre,千米,公里; mg=milligram,毫克; g=gram,克; kg=kilogram,kilo,千克,公斤; t=ton,tonne,吨; s=second,sec,秒,秒钟;
    min=minute,分钟; h=hour,hr,小时; day=天,日; week=周,星期; month=月,个月; year=yr,年; ml=milliliter,毫升;
    l=liter,litre,升; inch=in,英寸; foot=feet,ft,英尺; yard=yd,码; mile=mi,英里; mph;
    km/h=kmh,kph,千米/时,公里/小时,千米/小时; m/s=米/秒;
    dollar=usd,美元; yuan=元,rmb,块,块钱,元钱,人民币; cent=¢; euro=欧元; degree=deg,°,度; radian=rad,弧度;
    person=people,人,个人,名; unit=单位; N=newton,牛; J=joule,焦; W=watt,瓦; Hz=hertz; V=volt,伏; 岁=years old;
    cup; box; bag; egg; dog; cat; car; pen; boy; bus
"""
_UNITS = {
    alias.strip(): name.strip()
    for name, _, aliases in (entry.partition("=") for entry in _ALIASES.split(";"))
    for alias in [name, *aliases.split(",")]
    if alias.strip()
}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "百": 2, "千": 3, "万": 4, "亿": 8}
_NOT_UNITS = re.compile(r"以[上下内外]|多|左右|倍$|factorial|squared|cubed|remainder|余")
_POWERS = [(r"^(?:(?:square|sq)\b\.?|平方)\s*", "^2"), (r"^(?:(?:cubic|cu)\b\.?|立方)\s*", "^3")]
_MONEY = re.compile(r"([-+]?)\s*(?:US|C|A)?(\\\$|[¥€£])\s*")
_AFTER = re.compile(
    r"""(?x) (?P<head> .*? [\d}).A-Za-z\s] ) \s* (?:
        \^\\circ \s* (?P<circle> [CF]? )
    |   \\text \s* \{ \s* (?P<quoted> [^{}]*? ) \s* \} \s* (?P<power> \^ [23] )?
    |   (?P<han> [\u4e00-\u9fff]+ (?: / [\u4e00-\u9fff]+ )? ) (?P<han_power> \^ [23] )?
    |   (?P<plain> (?<=[\d})\s])
            [A-Za-z]+ (?: \s [A-Za-z]+ ){0,3} (?: \^ [23] )? (?: / [A-Za-z]+ (?: \^ [23] )? )? ) )"""
)


def quantity(text: str) -> tuple[str, str]:
    r"""Splits `5 \text{ cm}` into the LaTeX of its value and its unit, which is empty where none is written."""
    if text.endswith("%") and len(text) > 1:
        return rf"\frac{{{text[:-1].strip()}}}{{100}}", ""
    if money := _MONEY.match(text):
        value, unit = quantity(money[1] + text[money.end() :])
        return value, unit or {r"\$": "dollar", "¥": "yuan", "€": "euro", "£": "pound"}[money[2]]
    found = _AFTER.fullmatch(text)
    head = found["head"].strip() if found else ""
    angle = found is not None and found["circle"] is not None and _TRIGONOMETRY.search(head)  # an angle in the value
    if (
        found is None
        or angle
        or re.search(r"[\u4e00-\u9fff]|\\text", head)
        or not re.search(r"[\d\\]|^[A-Za-z]$", head)
    ):
        return text, ""
    if found["circle"] is not None:
        return head, "degree" + found["circle"]
    zeros, words = _scale((found["quoted"] or found["han"] or found["plain"] or "").strip())
    words += found["power"] or found["han_power"] or ""
    spaced = head != found["head"] or text[len(head)].isspace()
    known = _unit(words, head, found["plain"] is None, spaced) if words else ""
    if known is None:
        return text, ""
    return (rf"({head})\cdot 1{'0' * zeros}" if zeros else head), known


def _scale(words: str) -> tuple[int, str]:
    """`million dollars` is a power of ten and dollars."""
    for name, zeros in _SCALES.items():
        after = words.removeprefix(name)
        if after != words and (words[:2] not in _UNITS if name >= "\u4e00" else not after[:1].isalpha()):
            return zeros, after.strip()
    return 0, words


def _unit(words: str, head: str, written: bool, spaced: bool) -> str | None:
    r"""One name a unit, or None if the words are no unit: plain letters may be variables, so these are known or long.

    A single plain letter is a unit only after a number and a space: `5m` is a product, and so is `\frac{x}{2} h`.
    """
    words = re.sub(r"\s+", " ", words).strip(" .")
    if _NOT_UNITS.search(words):
        return None
    power = ""
    for pattern, sign in _POWERS:
        shorter = re.sub(pattern, "", words)
        words, power = (shorter, sign) if shorter != words and shorter else (words, power)
    word, _, raised = words.partition("^")
    known = _UNITS.get(word) or _UNITS.get(word.lower()) or _UNITS.get(word.lower().removesuffix("s"))
    if known is None and word.lower().endswith("es"):
        known = _UNITS.get(word.lower()[:-2])
    if known is None and "/" in words and all(_UNITS.get(part.partition("^")[0]) for part in words.split("/")):
        return words
    if not written:
        if known is None and not all(len(part) > 3 for part in word.split()):
            return None
        if len(word) == 1 and (not spaced or fraction(head) is None):
            return None
    name = known or word.lower().removesuffix("s")
    return name + (f"^{raised}" if raised else power)


_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\\circ")
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_DECIMAL = re.compile(r"(?<![A-Za-z_])(\d*)\.(\d*)(?:\\overline\{(\d+)\}|\\dot\{?(\d)\}?(?:(\d*)\\dot\{?(\d)\}?)?)?")
_MIXED = re.compile(r"(?<![\w})^_.])(\d+)\s*(?=\\frac\{\d+\}\{\d+\})(\\frac\{\d+\}\{\d+\})(?![\w{(^])")
_FRACTION = rf"\\frac \{{ \s* (?P<minus> -? ) \s* (?P<over> {_NUMBER} ) \s* \}} \{{ \s* (?P<under> {_NUMBER} ) \s* \}}"
_TIMES_TEN = r"(?: \\times | \\cdot | \* ) \s* 10 \s* \^ \s* \{? \s* (?P<power> [-+]?\d{1,6} ) \s* \}?"
_RATIONAL = re.compile(
    rf"""(?x) (?P<sign> [-+]? ) \s*
        (?: (?P<top> {_NUMBER} ) (?: \s* [/:] \s* (?P<bottom> {_NUMBER} ) )? | (?P<whole> \d+ )? \s* {_FRACTION} )
        (?: \s* (?: {_TIMES_TEN} | [eE] (?P<e> [-+]?\d{{1,6}} ) ) )?"""
)
_REPEATING = re.compile(r"([-+]?)(\d*)\.(\d*)(?:\\overline\{(\d+)\}|\\dot\{?(\d)\}?(?:(\d*)\\dot\{?(\d)\}?)?)")


def fraction(latex: str) -> Fraction | None:
    r"""The exact value of a number as people write it: `0.5`, `\frac{1}{2}`, `1\frac{1}{2}`, `1:2`, `5\times 10^3`."""
    latex = latex.strip()
    while latex.startswith("{") and latex.endswith("}") and latex.count("{") == 1:
        latex = latex[1:-1].strip()
    if repeating := _REPEATING.fullmatch(latex):
        sign, whole, still, *rest = repeating.groups("")
        again = "".join(rest)
        bottom = 10 ** len(still) * (10 ** len(again) - 1)
        return Fraction(f"{sign}1") * (
            Fraction(int(again), bottom) + Fraction(int(whole + still or "0"), 10 ** len(still))
        )
    if (found := _RATIONAL.fullmatch(latex)) is None:
        return None
    top, bottom = Fraction(found["top"] or found["over"]), Fraction(found["bottom"] or found["under"] or 1)
    power = int(found["power"] or found["e"] or 0)
    if bottom == 0 or abs(power) > MAX_POWER or (found["whole"] and found["minus"]):
        return None
    value = (Fraction(found["whole"] or 0) + top / bottom) * Fraction(10) ** power
    return -value if (found["sign"] == "-") != (found["minus"] == "-") else value


def exact(latex: str) -> str:
    r"""The same expression without decimals and mixed numbers, which algebra rounds or multiplies: `(\frac{5}{10})`."""

    def without_point(found: re.Match[str]) -> str:
        value = fraction(found[0])
        return rf"(\frac{{{value.numerator}}}{{{value.denominator}}})" if value is not None else found[0]

    if _TRIGONOMETRY.search(latex):
        latex = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", latex)
    return _MIXED.sub(r"(\1+\2)", _DECIMAL.sub(without_point, latex))
