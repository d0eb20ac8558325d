r"""An expression as a tree, read from tokens by recursive descent: `\frac{1}{2}x^2` is ("*", ("/", 1, 2), ("^", x, 2)).

    >>> parse(tokenize("2x+1"))
    Node(op='+', parts=(Node(op='*', ...), Node(op='number', ..., value=Fraction(1, 1))))

Covers: arithmetic, roots, powers, the usual functions, absolute values, factorials, binomials, sums and products over a
range, functions without a definition (`f(x)`), indexed names (`a_{n+1}`), matrices.
Does not cover: integrals, limits, congruences, words. They raise Unreadable, and are compared as text.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from deepseek_math.answers.spelling import BRACES, ROUND, SQUARE, Token, Tokens, Unreadable, spelled, split

CONSTANTS = {r"\pi": "pi", "pi": "pi", "e": "e", "i": "i", r"\infty": "infinity", "infty": "infinity"}
GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|chi|psi|omega|Gamma|Delta"
    "|Theta|Lambda|Sigma|Phi|Psi|Omega|ell|angle|triangle"
)
FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|sinh|cosh|tanh|exp|ln|log|lg|abs|arcsin|arccos|arctan|arccot|asin|acos|atan|det|max|min|gcd"
    "|lcm|Re|Im|arg"
)
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot"}
_SHORT = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_UNDEFINED = frozenset("fghFGHPQ")  # letters that a bracket is an argument of: `f(x)` is not a product
_IS_FUNCTION = re.compile(rf"\\?(?:{FUNCTIONS})")
_STARTS = re.compile(rf"\\(?:{GREEK}|{FUNCTIONS}|pi|infty|frac|sqrt|binom|sum|prod|bar|overline)")
_WORDS = re.compile(
    "(?i:odd|yes|no|one|two|six|ten|all|red|none|even|may|jun|jul|mon|tue|wed|thu|fri|sat|sun|dne|am|pm)"
    "|[A-Z][a-z]{2}|[A-Za-z]{4,}"
)  # that are words of a language, not products of letters
_ENDS = {"\\lfloor \\rfloor": "floor", "\\lceil \\rceil": "ceiling"}


@dataclass(frozen=True, slots=True)
class Node:
    """A number (`value`), a symbol or a constant (`name`), or an operation on `parts`."""

    op: str
    parts: "tuple[Node, ...]" = ()
    name: str = ""
    value: Fraction | None = None


def number(value: int | Fraction) -> Node:
    return Node("number", value=Fraction(value))


def symbols(node: Node) -> set[str]:
    """Names of the variables."""
    if node.op == "symbol":
        return {node.name}
    return set().union(*map(symbols, node.parts))


def parse(tokens: Tokens) -> Node:
    """The tree of an expression. Raises Unreadable for anything else."""
    return _Parser(tokens).whole()


class _Parser:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._at = 0
        self._bars = 0  # absolute values that are open: the next `|` ends one

    def whole(self) -> Node:
        tree = self._sum()
        if self._at < len(self._tokens):
            raise Unreadable(f"{self._peek()} is not expected")
        return tree

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _take(self) -> Token:
        if self._at >= len(self._tokens):
            raise Unreadable("the expression ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, text: str) -> bool:
        found = self._peek() == text
        self._at += found
        return found

    def _sum(self) -> Node:
        tree = self._product()
        while self._peek() in {"+", "-"}:
            sign = self._take().text
            term = self._product()
            tree = Node("+", (tree, term if sign == "+" else Node("-", (term,))))
        return tree

    def _product(self) -> Node:
        """`1/2x` is half of x, as one reads it; a bracket or a name without a sign before it is a factor."""
        tree = self._signed()
        while True:
            if self._took("*"):
                tree = Node("*", (tree, self._signed()))
            elif self._took("/"):
                tree = Node("/", (tree, self._signed()))
            elif self._begins_factor():
                tree = Node("*", (tree, self._power()))
            else:
                return tree

    def _signed(self) -> Node:
        if self._took("-"):
            return Node("-", (self._signed(),))
        if self._took("+"):
            return self._signed()
        return self._power()

    def _begins_factor(self) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        if token.text == "|":
            return self._bars == 0
        if token.kind == "number" and self._tokens[self._at - 1].kind == "number":
            return False  # `2 3` is not a product
        return token.kind in {"number", "word", "group"} or _STARTS.fullmatch(token.text) is not None

    def _power(self) -> Node:
        tree = self._postfix(self._atom())
        if self._took("^"):
            exponent = self._exponent()
            transposed = exponent in {Node("symbol", name="T"), Node("symbol", name="\\top")}
            tree = Node("transpose", (tree,)) if transposed else Node("^", (tree, exponent))
            tree = self._postfix(tree)
        return tree

    def _exponent(self) -> Node:
        if self._took("-"):
            return Node("-", (self._exponent(),))
        return self._power()

    def _postfix(self, tree: Node) -> Node:
        while True:
            if self._took("!"):
                tree = Node("factorial", (tree,))
            elif self._took("\\degree"):
                tree = Node("*", (tree, Node("/", (Node("pi"), number(180)))))
            elif self._took("%"):
                tree = Node("/", (tree, number(100)))
            else:
                return tree

    def _atom(self) -> Node:  # noqa: PLR0911
        token = self._take()
        text = token.text
        if token.kind == "number":
            return self._number(token)
        if token.kind == "group":
            return self._group(token)
        if text == "|":
            return self._absolute()
        if text in {r"\frac", r"\binom"}:
            return Node("/" if text == r"\frac" else "binomial", (self._argument(), self._argument()))
        if text in {r"\sqrt", "sqrt"}:
            degree = parse(self._take().parts) if self._peek() == SQUARE else number(2)
            return Node("root", (self._argument(), degree))
        if text in {r"\sum", r"\prod"}:
            return self._range(text)
        if text in CONSTANTS and self._peek() not in {"_", "'"}:
            return Node(CONSTANTS[text])
        if _IS_FUNCTION.fullmatch(text):
            return self._function(text.removeprefix("\\"))
        return self._variable(token)

    def _variable(self, token: Token) -> Node:
        name = token.text.removeprefix("\\")
        if re.fullmatch(GREEK, name):
            return self._symbol("\\" + name)
        if token.kind == "word":
            return self._letters(token)
        if token.text in {r"\bar", r"\overline", r"\tilde", r"\hat"}:
            return self._symbol(token.text + spelled(self._take_argument()))
        raise Unreadable(f"{token.text} is not read")

    def _absolute(self) -> Node:
        self._bars += 1
        tree = self._sum()
        self._bars -= 1
        if not self._took("|"):
            raise Unreadable("an absolute value is never closed")
        return Node("abs", (tree,))

    def _number(self, token: Token) -> Node:
        r"""A whole number before a fraction is a mixed number: `1\frac{1}{2}`, `1 1/2`."""
        assert token.value is not None
        tree = number(token.value)
        if token.value.denominator != 1 or (self._at > 1 and self._tokens[self._at - 2].text in {"^", "_"}):
            return tree
        following = self._tokens[self._at : self._at + 3]
        if following and following[0].text == "\\frac" and len(following) == 3:
            top, bottom = (part.parts if part.text == BRACES else (part,) for part in following[1:])
        elif len(following) == 3 and following[0].spaced and following[1].text == "/":
            top, bottom = following[:1], following[2:]
        else:
            return tree
        if [part.kind for part in (*top, *bottom)] != ["number", "number"]:
            return tree
        self._at += 3
        return Node("+", (tree, Node("/", (parse(top), parse(bottom)))))

    def _group(self, group: Token) -> Node:
        parts = group.parts
        if group.text in {"matrix", "determinant"}:
            return matrix(group)
        if group.text in _ENDS:
            return Node(_ENDS[group.text], (parse(parts),))
        choose = [at for at, part in enumerate(parts) if part.text == "\\choose"]
        if group.text == BRACES and choose:
            return Node("binomial", (parse(parts[: choose[0]]), parse(parts[choose[0] + 1 :])))
        if group.text in {ROUND, SQUARE, BRACES} and parts:
            return parse(parts)
        raise Unreadable("a bracket of another kind")

    def _take_argument(self) -> Tokens:
        token = self._take()
        return token.parts if token.text in {BRACES, ROUND} else (token,)

    def _argument(self) -> Node:
        return parse(self._take().parts) if self._peek() in {BRACES, ROUND} else self._atom()

    def _function(self, name: str) -> Node:
        r"""`\sin^2 2x \cos x`: a power behind the name, then a bracket, or factors up to a sign or another function."""
        name, base = _SHORT.get(name, name), number(10)
        power: Node | None = None
        while self._peek() in {"_", "^"}:
            if self._take().text == "_":
                base = self._argument()
            else:
                power = self._exponent()
        if power == Node("-", (number(1),)) and name in _INVERSE:
            name, power = _INVERSE[name], None
        if self._peek() == ROUND:
            arguments = tuple(parse(part) for part in split(self._take().parts, {","}))
        elif self._peek() == "|":
            arguments = (self._power(),)
        else:
            arguments = (self._function_argument(),)
        tree = Node(name, (*arguments, base) if name == "log" else arguments)
        return tree if power is None else Node("^", (tree, power))

    def _function_argument(self) -> Node:
        if self._peek() == "-":
            return self._signed()
        tree = self._power()
        while self._begins_factor() and not _IS_FUNCTION.fullmatch(self._peek()):
            tree = Node("*", (tree, self._power()))
        return tree

    def _range(self, sign: str) -> Node:
        r"""`\sum_{k=1}^{n} a`: the index, its first and last value, and what is added up."""
        bounds: dict[str, Tokens] = {}
        while self._peek() in {"_", "^"}:
            edge = self._take().text
            bounds[edge] = self._take_argument()
        sides = split(bounds.get("_", ()), {"="})
        if len(sides) != 2 or "^" not in bounds:
            raise Unreadable("a sum without its range")
        index, first, last = parse(sides[0]), parse(sides[1]), parse(bounds["^"])
        return Node(sign, (index, first, last, self._product()))

    def _letters(self, token: Token) -> Node:
        """`xy` is a product of letters; a power, an index, a prime or a bracket behind it is the last one's."""
        text = token.text
        if _WORDS.fullmatch(text):
            raise Unreadable(f"{text} is a word")
        if len(text) > 1 and self._peek() in {"^", "!"}:
            last = Token("word", text[-1])
            self._tokens = (*self._tokens[: self._at], last, *self._tokens[self._at :])
            text = text[:-1]
        factors = [Node(CONSTANTS[letter]) if letter in CONSTANTS else Node("symbol", name=letter) for letter in text]
        if text[-1] not in CONSTANTS or self._peek() in {"_", "'"}:
            factors[-1] = self._symbol(text[-1])
        tree = factors[0]
        for factor in factors[1:]:
            tree = Node("*", (tree, factor))
        return tree

    def _symbol(self, name: str) -> Node:
        while self._peek() in {"'", "_"}:
            name += self._take().text
            if name.endswith("_"):
                name += spelled(self._take_argument())
        if name[0] in _UNDEFINED and self._peek() == ROUND:
            return Node("apply", tuple(parse(part) for part in split(self._take().parts, {","})), name)
        return Node("symbol", name=name)


def matrix(group: Token) -> Node:
    """A matrix, row by row; a determinant is the function of one."""
    rows = tuple(
        Node("row", tuple(parse(cell) for cell in split(row, {"&"}))) for row in split(group.parts, {r"\\"}) if row
    )
    if not rows or len({len(row.parts) for row in rows}) != 1:
        raise Unreadable("rows of unequal length")
    tree = Node("matrix", rows)
    return Node("det", (tree,)) if group.text == "determinant" else tree
