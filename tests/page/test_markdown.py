"""A solution's blocks: its text is all there, its formulas are set, and HTML in it is text."""

import re
from html import unescape

import pytest

from deepseek_math.page.markdown import Block, blocks
from tests.page.texts import REPORTS, TEXTS, MathText, normal

_ALLOWED = (
    "p strong em code pre ul ol li h1 h2 h3 h4 h5 h6 blockquote table thead tbody tr th td br hr span a "
    "math mrow mi mo mn mtext ms mspace mfrac msqrt mroot msup msub msubsup mover munder munderover mtable mtr mtd "
    "mpadded mphantom mstyle mmultiscripts mprescripts none b i"
)
ALLOWED = _ALLOWED.split()
CUT = [text for text in TEXTS if text.kind in ("streaming", "code", "boxed", "currency")]  # more than twenty


def html(text: str, finished: bool = True) -> str:
    return "\n".join(block.html for block in blocks(text, finished))


def visible(text: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"<br ?/?>|</(?:p|td|th|li)>", "\n", text)))


def require_safe(text: str) -> None:
    for tag in re.findall(r"<([^\s>/]+)", text):
        assert tag in ALLOWED, tag
    for place in ("merror", "color:", "\ue000", "\ue001"):
        assert place not in text


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_what_is_text_is_visible_and_what_is_a_formula_is_set(text: MathText) -> None:
    shown = html(text.text)
    require_safe(shown)
    for plain in text.plain:
        assert normal(plain) in normal(visible(shown))
    sources = shown.count('class="source"')
    assert shown.count("<math") + sources == len(text.formulas) + (text.name == "m051")
    assert sources == {"m078": 2, "m051": 1}.get(text.name, 0)  # the two that are wrong, the one that is open


@pytest.mark.parametrize("text", [text for text in TEXTS if text.pieces], ids=lambda text: text.name)
def test_in_the_pieces_in_which_a_text_arrives(text: MathText) -> None:
    for count in range(1, len(text.pieces)):
        require_safe(html("".join(text.pieces[:count]), finished=False))
    assert html("".join(text.pieces)) == html(text.text)


@pytest.mark.parametrize("text", CUT, ids=lambda text: text.name)
def test_cut_anywhere_nothing_is_lost_and_nothing_is_wrong(text: MathText) -> None:
    assert len(CUT) >= 20
    for end in range(len(text.text)):
        begun = text.text[:end]
        shown = html(begun, finished=False)
        require_safe(shown)
        words = re.findall(r"[a-z]{3,}", re.sub(r"\\[a-z]+|```\w*|`+$|\$.*?\$", " ", begun, flags=re.DOTALL))
        for word in words:
            assert word in visible(shown) or word in begun.split("\\")[-1], begun


def test_only_the_last_blocks_change_while_a_text_arrives() -> None:
    text = "First.\n\n```python\nprint(1)\n```\n```output\n1\n```\nSo $x = 1$.\n\nDone."
    before: list[Block] = []
    for end in range(len(text)):
        now = blocks(text[:end], finished=False)
        settled = max(0, len(before) - 2)
        assert now[:settled] == before[:settled]
        before = now
    assert [block.kind for block in blocks(text)] == ["prose", "program", "output", "prose", "prose"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<svg onload=alert(1)>", "<svg onload=alert(1)>"),
        ("a <b>c</b> <!-- d -->", "a <b>c</b> <!-- d -->"),
        ("<a href='javascript:alert(1)'>x</a>", "<a href='javascript:alert(1)'>x</a>"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](data:text/html,y)", "[x](data:text/html,y)"),
        ("<javascript:alert(1)>", "<javascript:alert(1)>"),
        ("![x](https://example.org/x.png)", "!x"),
        ('[x](https://example.org "$x$")', "x"),
        ("[x]: https://example.org", "[x]: https://example.org"),
        ("```<script>\n<script>\n```", "<script>\n"),
        ("`<script>`", "<script>"),
        ("\ue0000\ue001 $x$", "\ufffd0\ufffd x"),
    ],
)
def test_html_and_addresses_do_nothing(text: str, kept: str) -> None:
    shown = html(text)
    require_safe(shown)
    assert visible(shown).strip() == kept.strip()
    assert not re.search(r"<[^>]*\b(?:on\w+|src)=", shown)
    for address in re.findall(r'href="([^"]*)"', shown):
        assert address.startswith("https://")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3*4*5 = 60 and 2**3 and 4**5", "<p>3*4*5 = 60 and 2**3 and 4**5</p>"),
        ("**解：**由*题*意", "<p><strong>解：</strong>由<em>题</em>意</p>"),
        ("**Answer:**5", "<p><strong>Answer:</strong>5</p>"),
        ("x_1 and _y_ and y_2", "<p>x_1 and _y_ and y_2</p>"),
        ("40\n+ 12\n= 52", "<p>40<br />\n+ 12<br />\n= 52</p>"),
        ("40\n- 12\n= 28", "<p>40<br />\n- 12<br />\n= 28</p>"),
        ("- 3\n- 4", "<ul>\n<li>3</li>\n<li>4</li>\n</ul>"),
        ("Sum\n---\nx", "<p>Sum</p>\n<hr />\n<p>x</p>"),
        ("    x = 1", "<p>x = 1</p>"),
        ("#### 72", "<p>#### 72</p>"),
        ("#### Step 1", "<h4>Step 1</h4>"),
        ("~3 or ~~4~~", "<p>~3 or ~~4~~</p>"),
    ],
)
def test_signs_of_a_calculation_are_no_markdown(text: str, shown: str) -> None:
    assert html(text) == shown


@pytest.mark.parametrize(("text", "_"), REPORTS)
def test_other_reports_are_shown_safely(text: str, _: list[str]) -> None:
    require_safe(html(text))


def test_a_megabyte_on_one_line_ends() -> None:
    assert len(html("x" * 1_000_000)) > 1_000_000
