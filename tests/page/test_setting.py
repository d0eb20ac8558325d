"""Formulas become MathML in which nothing runs, and what can't be set is None, for its source to be shown."""

import re

import pytest

from deepseek_math.page.setting import MAX_LENGTH, set_formula
from tests.page.texts import TEXTS

BROKEN = {"E = mc^", r"\nosuchcommand{x}"}  # m078's two

READ_DIFFERENTLY = [  # what models write, what is visible then, and why
    (r"a \\[4pt] b", "ab", "a row's space is no text"),
    (r"50% \text{ of } 2", "50% of 2", "a bare per cent sign begins no comment"),
    (r"\text{num_apples}", "num_apples", "an underscore in words"),
    (r"\text{50\% of it}", "50% of it", "the blank after a sign"),
    (r"\text{if $x$ is 1}", "if x is 1", "a formula in words"),
    (r"\text{if \(x\) is 1}", "if x is 1", "the same with brackets"),
    (r"\text{m^2}", "m2", "a power in words"),
    (r"\mbox{so}", "so", "a command that math-core lacks"),
    (r"\begin{split} a &= b \end{split}", "a=b", "an environment that math-core lacks"),
    (r"\begin{eqnarray} a &=& b \end{eqnarray}", "a=b", "another"),
    (r"a &= b \\ c &= d", "a=bc=d", "rows without an environment"),
    (r"x = 1 \tag{2}", "x=1(2)", "a number outside an environment that has numbers"),
    (r"\begin{align} a &= b \\ c &= d \end{align}", "a=bc=d", "numbers that nobody asked for are left out"),
    (r"x \label{eq} = 1", "x=1", "a label is no text"),
    (r"\Large 5", "5", "sizes are left out"),
    (r"\sum_{\substack{i<j \\ i>1}} i", "∑i<ji>1i", "two rows under a sum"),
    (r"#5", "#5", "a bare hash"),
    (r"a &lt; b", "a<b", "as a web page would write it"),
    (r"\boxed{$18}", "$18", "money in a box"),
    (r"\boxed{$x+1$}", "x+1", "a formula in a box with delimiters of its own"),
    (r"a \* b", "a∗b", "a star escaped for Markdown"),
    (r"\text{one \\ two}", "one two", "a line's end in words"),
    (r"\begin{pmatrix*}[r] 1 \\ 2 \end{pmatrix*}", "(12)", "a matrix whose columns are aligned"),
    (r"\SI{5}{m/s^2} = \qty{5}{m/s^2}", "5m/s2=5m/s2", "siunitx's units"),
    (r"5\euro + 20\cent", "5€+20¢", "money with signs of its own"),
    (r"\left<u, v\right> \le \bigl<u\bigr>", "⟨u,v⟩≤⟨u⟩", "angle brackets as they are on keyboards"),
    (r"\abs{x} + \norm{v}", "|x|+‖v‖", "what physics writes for bars"),
    (r"\begin{align*} a &= b \\ \intertext{so that $x$ is} c &= d \end{align*}", "a=bso that x isc=d", "words between"),
    (r"\require{cancel}\cancelto{1}{5}", "51", "an extension that MathJax loads"),
    (r"\colorbox{yellow}{$x=1$}", "x=1", "a colour behind it is left out"),
    (r"f^'(x) + \normalsize y", "f′(x)+y", "a prime as a power"),
    (r"\sum_{\mathclap{i \le n}} i", "∑i≤ni", "widths are left to the browser"),
    (r"\lcm(4,6)\vspace{1cm}", "lcm(4,6)", "a function and a space that math-core lacks"),
]


def visible(mathml: str) -> str:
    text = re.sub(r"<[^>]+>|\u2061|\u2063|\u2062|&ApplyFunction;", "", mathml)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("\u00a0", " ")


@pytest.mark.parametrize("formula", [formula for text in TEXTS for formula in text.formulas])
def test_every_formula_of_the_texts_is_set(formula: str) -> None:
    assert (set_formula(formula, True) is None) == (formula in BROKEN)


@pytest.mark.parametrize(("source", "shown", "why"), READ_DIFFERENTLY)
def test_formulas_as_models_write_them(source: str, shown: str, why: str) -> None:
    mathml = set_formula(source, True)
    assert mathml is not None, why
    assert visible(mathml) == shown, why


def test_a_box_has_a_class_to_draw_it_by() -> None:
    assert set_formula(r"\boxed{5}", False) == '<math><mrow class="box"><mn>5</mn></mrow></math>'


HOSTILE = [
    r"\text{<svg/onload=alert(1)>}",
    r"\href{javascript:alert(1)}{x}",
    r"\url{javascript:alert(1)}",
    r"\includegraphics{https://example.org/x.png}",
    r"\style{background:url(https://example.org)}{x}",
    r"\class{x}{y}",
    r"\htmlId{x}{y}",
    r"\unicode{<img src=x onerror=alert(1)>}",
    r"\color{red;background:url(https://example.org)}{x}",
    r"\textcolor{'><img src=x onerror=alert(1)>}{x}",
    r"\hspace{1cm;position:fixed}x",
    r"\tag{<img src=x>}",
    r"\begin{equation}x\tag{<img src=x>}\label{\"><img src=x>}\end{equation}",
    r"\operatorname{<script>}",
    r"\mathrm{</math><script>}",
    r"</math><script>alert(1)</script>",
    r"\begin{<script>}x\end{<script>}",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_nothing_that_runs_or_loads_comes_of_a_formula(source: str) -> None:
    mathml = set_formula(source, True) or ""
    tags = set(re.findall(r"<([a-zA-Z]+)", mathml))
    assert not tags - {"math", "mrow", "mtext", "mi", "mo", "mn", "mtable", "mtr", "mtd", "mspace", "msup", "mstyle"}
    assert not re.search(r"<[^>]*(?:href|src|url\(|\bon\w+=|position)", mathml)


def test_a_formula_without_end_is_not_set() -> None:
    assert set_formula(r"\newcommand{\a}{\a\a}\a", True) is None
    assert set_formula("x" * (MAX_LENGTH + 1), True) is None
    for nested in (r"\sqrt{", "x^{", "{", r"\frac{1}{"):
        set_formula(nested * 600 + "1" + "}" * 600, True)
