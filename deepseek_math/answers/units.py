r"""Units: which words behind a number are one, and the one name of what is written `60 mph` or `60 miles per hour`.

Units are not converted: `1 m` is not `100 cm`. Plain letters may be variables, so `5m` is a product and `5 m` a length.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from deepseek_math.answers.spelling import BRACES, Token, Tokens

_ALIASES = r"""
    nm=nanometer,纳米; μm=micrometer,微米; mm=millimeter,millimetre,毫米; cm=centimeter,centimetre,厘米;
    dm=decimeter,分米; m=meter,metre,米; km=kilometer,kilometre,千米,公里; inch=in,英寸; foot=feet,ft,英尺;
    yard=yd,码; mile=mi,英里; mg=milligram,毫克; g=gram,gm,克; kg=kilogram,kilo,kgs,千克,公斤; t=ton,tonne,吨;
    ounce=oz,盎司; pound=lb,£,gbp,quid,磅,英镑; ml=milliliter,millilitre,cc,毫升; l=liter,litre,升; gallon=gal,加仑;
    quart=qt; pint=pt; cup; tablespoon=tbsp; teaspoon=tsp; acre; hectare=ha,公顷;
    ms=millisecond,毫秒; s=second,sec,秒,秒钟; min=minute,分钟; h=hour,hr,小时,时; day=天,日; week=wk,周,星期;
    month=月,个月; year=yr,年; decade; century=centuries,世纪;
    dollar=usd,us,\$,buck,美元; yuan=元,rmb,cny,¥,块,块钱,元钱,人民币; cent=¢,美分; euro=€,eur,欧元; rupee=₹,rs,inr;
    yen=jpy,日元; degree=deg,度; degreeC=celsius,摄氏度; degreeF=fahrenheit,华氏度; radian=rad,弧度; kelvin=K,开尔文;
    person=people,人,个人,名; child=children; unit=单位; piece=pc; 岁;
    N=newton,牛,牛顿; J=joule,焦,焦耳; kJ=kilojoule,千焦; cal=calorie; W=watt,瓦; kW=kilowatt,千瓦; kWh; Hz=hertz,赫兹;
    V=volt,伏; A=amp,ampere,安; Pa=pascal,帕; kPa; mol=mole,摩尔; eV; ohm=Ω,欧姆;
    erg; dyne; parsec; angstrom; lightyear; keV; MeV; GeV; tesla; gauss; bar; atm; kHz; MHz; GHz; MPa; GPa; kN; kcal;
    MJ; MW; GW; mW; mA; mV; kV; μs=microsecond; ns=nanosecond; rpm; dB
"""
_NAMES: dict[str, str] = {
    alias.strip(): name.strip()
    for name, _, aliases in (entry.partition("=") for entry in _ALIASES.split(";"))
    for alias in [name, *aliases.split(",")]
    if alias.strip()
}
_COMPOUND = {"mph": {"mile": 1, "h": -1}, "kph": {"km": 1, "h": -1}, "kmh": {"km": 1, "h": -1}}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_HAN_POWERS = {"平方": 2, "立方": 3}
_SCALES = {
    **{"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12},
    **{"百万": 10**6, "千万": 10**7, "万亿": 10**12, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8},
}
_PERCENT = {"%", "percent", "percentage", "pct"}
_SIGNS = {r"\$", "€", "£", "¥", "₹", "¢"}
_CURRENCIES = {"USD", "US", "RMB", "CNY", "EUR", "GBP", "INR", "Rs", "CAD", "AUD", "HK"}
_NO_UNIT = re.compile(r"以[上下内外]|多|左右|倍$|余|factorial|remainder|base|mod|choose|more|less|times|over")
_FUNCTION = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)")


def price(tokens: Tokens) -> tuple[Tokens, str]:
    r"""The tokens without the currency in front of a number (`-\$5`, `US\$5`, `Rs 50`), and the currency's name."""
    start = 1 if tokens and tokens[0].text in {"-", "+"} else 0
    end = start
    while end < len(tokens) and tokens[end].text in _SIGNS | _CURRENCIES | {"C", "A", "."}:
        end += 1
    currency = [token.text for token in tokens[start:end] if token.text in _SIGNS | _CURRENCIES]
    if not currency or end == len(tokens) or not (tokens[end].kind == "number" or tokens[end].text in {"-", r"\frac"}):
        return tokens, ""
    return tokens[:start] + tokens[end:], _NAMES.get(currency[-1].lower(), currency[-1].lower())


def measure(tokens: Tokens) -> tuple[Tokens, str, Fraction]:
    """The value, its unit's name, and what a word or a sign behind it multiplies it with: 2, "dollar", a million."""
    for at in _unit_starts(tokens):
        value, rest = tokens[:at], tokens[at:]
        factor, rest = _scale(rest)
        if factor != 1 and not rest:
            return value, "", factor
        if rest and (name := _unit(rest, value)):
            return value, name, factor
    return tokens, "", Fraction(1)


def _unit_starts(tokens: Tokens) -> Iterator[int]:
    r"""Where a unit may begin, the longest first. The cosine of 58 degrees, `\cos 58^\circ`, has none."""
    start = len(tokens)
    while start > 1 and _may_be_unit(tokens, start - 1):
        start -= 1
    if not any(_FUNCTION.fullmatch(token.text) for token in tokens):
        yield from range(max(start, 1), len(tokens))


def _may_be_unit(tokens: Tokens, at: int) -> bool:
    token = tokens[at]
    if token.kind == "number" or token.text == BRACES:
        return at > 1 and tokens[at - 1].text == "^" and tokens[at - 2].kind in {"word", "han"}
    return token.kind in {"word", "han"} or token.text in {"/", "^", "*", ".", "%", "Ω", r"\degree", *_SIGNS}


def _scale(tokens: Tokens) -> tuple[Fraction, Tokens]:
    """What "percent" or "million" multiplies with, and what is left: 万元 leaves 元, while 千克 is not a thousand."""
    first, rest = tokens[0].text.lower(), tokens[1:]
    if first in _PERCENT:
        return Fraction(1, 100), rest
    if first == "per" and rest and rest[0].text.lower() == "cent":
        return Fraction(1, 100), rest[1:]
    if factor := _SCALES.get(first.removesuffix("s")):
        return Fraction(factor), rest
    for word, size in _SCALES.items():
        if tokens[0].kind == "han" and first.startswith(word) and not {first[:2], first[:3]} & _NAMES.keys():
            return Fraction(size), (Token("han", first.removeprefix(word)), *rest)
    return Fraction(1), tokens


def _unit(tokens: Tokens, value: Tokens) -> str | None:
    """The one name of these tokens as the unit of that value, or None if they are none."""
    numeric = any(token.kind == "number" for token in value)
    first = tokens[0]
    if _NO_UNIT.search(" ".join(token.text for token in tokens)):
        return None
    known = _known(tokens)
    if known is None:
        return _counted(tokens) if numeric else None
    letter = len(first.text) == 1 and first.kind == "word"
    touching = first.kind == "word" and not (first.upright or first.spaced)
    if touching and (letter or not numeric or value[-1].kind == "word"):
        return None  # 5m is a product
    if letter and not first.upright and any(token.kind not in {"number", "sign"} for token in value):
        return None
    return "*".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(known.items()))


def _counted(tokens: Tokens) -> str | None:
    """Things that are counted: "apples", 个. Short words are none unless they stand in `\\text{}`."""
    if any(token.kind not in {"word", "han"} for token in tokens):
        return None
    if any(token.kind == "word" and len(token.text) < (2 if token.upright else 4) for token in tokens):
        return None
    return " ".join(token.text for token in tokens).lower().removesuffix("s")


def _known(tokens: Tokens) -> dict[str, int] | None:
    """The powers of known units: `m/s^2`, `square feet`, `miles per hour`; None if there is any other word."""
    powers: dict[str, int] = {}
    sign, coming, last = 1, 1, ""
    rest = list(tokens)
    while rest:
        text = rest.pop(0).text
        if text in {"/", "per"} and last:
            sign = -1
        elif text == "^" and rest and last:
            powers[last] *= _exponent(rest.pop(0))
        elif text in {"squared", "cubed"} and last:
            powers[last] *= _POWERS[text]
        elif text in _POWERS:
            coming = _POWERS[text]
        elif text == "of" and last:
            break
        elif named := _named(text, rest):
            for name, power in named.items():
                powers[name] = powers.get(name, 0) + sign * coming * power
                last = name
            coming = 1
        elif text not in {"*", "."}:
            return None
    return powers or None


def _named(text: str, rest: list[Token]) -> dict[str, int]:
    """The unit of one word, with the scale behind degrees; nothing for any other word."""
    small = text.lower()
    if small in {r"\degree", "degree", "degrees"}:
        scale = rest[0].text[0].upper() if rest else ""
        if rest and rest[0].text.lower() in {"c", "f", "celsius", "fahrenheit"}:
            rest.pop(0)
            return {"degree" + scale: 1}
        return {"degree": 1}
    power = _HAN_POWERS.get(text[:2], 1)
    stem = text[2:] if power > 1 else text
    for spelling in (stem, stem.lower(), stem.lower().removesuffix("s"), stem.lower().removesuffix("es")):
        if spelling in _COMPOUND:
            return _COMPOUND[spelling]
        if spelling in _NAMES:
            return {_NAMES[spelling]: power}
    return {}


def _exponent(token: Token) -> int:
    """The power of a unit, 0 for anything else."""
    text = "".join(part.text for part in token.parts or (token,))
    return int(text) if re.fullmatch(r"-?\d", text) else 0
