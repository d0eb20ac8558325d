"""A solution as HTML: Markdown by markdown-it, formulas where the scanner found them, code in blocks of its own.

    >>> [block.html for block in blocks("So **$x$** is 3.")]
    ['<p>So <strong><span class="formula" data-source="$x$"><math><mi>x</mi></math></span></strong> is 3.</p>']

HTML in the text stays text. What Markdown would take from a mathematical text is switched off (see `_PLAIN`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from deepseek_math.page.scanner import Piece, scan
from deepseek_math.page.setting import set_formula, shown

# Indented lines and lines under which `=` stands are steps of a calculation; addresses and pictures load nothing here.
_PLAIN = ("code", "lheading", "reference", "html_block", "html_inline", "autolink", "image")
# "+ 5" and "- 5" above "= 7", "#### 72"
_SIGN_OR_NUMBER = re.compile(
    r"^([ \t>]*)(\+(?=[ \t])|-(?= ?\$?\d[\d,.]*[ \t]*\n[ \t>]*=)|#{4}(?= ?[-$\d.,/%\s]+$))", re.MULTILINE
)
_PLACE = re.compile("\ue000(\\d+)\ue001")
_RESERVED = re.compile("[\ue000\ue001]")
_BREAKS = re.compile(r'(?:<br ?/?>\s*)?(<span class="formula display".*?</math></span>)(?:\s*<br ?/?>)?', re.DOTALL)
_PUNCTUATED = re.compile(r'(<span class="formula" [^>]*>(?:(?!</math>).)*</math></span>)([,.;:!?)\]，。；：！？）、]+)')

Kind = Literal["prose", "program", "output", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a solution that is shown as one element."""

    kind: Kind
    html: str
    whole: bool = True  # False for a program that is still being written


def blocks(text: str, finished: bool = True) -> list[Block]:
    """The solution in blocks, in order. The text of one that is still arriving only changes its last blocks."""
    found: list[Block] = []
    prose: list[Piece] = []
    for piece in scan(_RESERVED.sub("\ufffd", text), finished):
        if piece.kind == "code":
            found += _prose_blocks(prose)
            prose = []
            found.append(_code_block(piece))
        else:
            prose.append(piece)
    return found + _prose_blocks(prose)


def _code_block(piece: Piece) -> Block:
    kind: Kind = "code"
    if piece.language in ("python", "py", "python3", "py3"):
        kind = "program"
    elif piece.language == "output":
        kind = "output"
    source = piece.content if piece.whole else piece.content.rstrip("`")  # half a closing fence
    return Block(kind, f"<pre><code>{escapeHtml(source)}</code></pre>", piece.whole)


def _prose_blocks(pieces: Sequence[Piece]) -> list[Block]:
    """One block for each of Markdown's outermost elements."""
    marked = "".join(piece.text if piece.kind == "text" else f"\ue000{at}\ue001" for at, piece in enumerate(pieces))
    places = [_placed(piece) for piece in pieces]
    tokens = _markdown.parse(_SIGN_OR_NUMBER.sub(r"\1\\\2", marked), {})
    found = []
    first = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            html = _markdown.renderer.render(tokens[first : index + 1], _markdown.options, {"places": places}).strip()
            html = _BREAKS.sub(r"\1", html)
            found.append(Block("prose", _PUNCTUATED.sub(r'<span class="kept">\1\2</span>', html)))
            first = index + 1
    return found


def _placed(piece: Piece) -> str:
    """What is shown in place of the piece."""
    if piece.kind == "text":
        return ""
    mathml = set_formula(piece.content, piece.display) if piece.kind == "formula" else None
    if mathml is None:
        return shown(piece.text)
    kind = "formula display" if piece.display else "formula"
    return f'<span class="{kind}" data-source="{escapeHtml(piece.text)}">{mathml}</span>'


def _text(_: Any, tokens: Sequence[Token], index: int, __: Any, env: dict[str, list[str]]) -> str:
    return _PLACE.sub(lambda place: env["places"][int(place[1])], escapeHtml(tokens[index].content))


def _link_opened(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrs = {"href": tokens[index].attrs["href"], "target": "_blank", "rel": "noopener noreferrer"}
    return str(renderer.renderToken(tokens, index, options, env))


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Stars that mark words, not factors: `3*4*5` and `2**3` keep theirs, and `**解：**由` needs no blank after it.

    CommonMark lets a star inside a word open and close, and lets none close after a full stop that no blank follows.
    An underscore marks nothing.
    """
    start = state.pos
    if silent or state.src[start] != "*":
        return False
    end = start
    while end < state.posMax and state.src[end] == "*":
        end += 1
    before = state.src[start - 1] if start else " "
    after = state.src[end] if end < state.posMax else " "
    inside = _in_word(before) and _in_word(after)
    for _ in range(end - start):
        token = state.push("text", "", 0)
        token.content = "*"
        state.delimiters.append(
            Delimiter(
                marker=ord("*"),
                length=end - start,
                token=len(state.tokens) - 1,
                end=-1,
                open=not after.isspace() and not inside,
                close=not before.isspace() and not inside,
            )
        )
    state.pos = end
    return True


def _in_word(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _valid_link(url: str) -> bool:
    """Whether a link may lead there: to a page elsewhere, and nowhere with a formula in it."""
    return url.startswith(("https://", "http://")) and "%EE%80%80" not in url


def _made() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable(_PLAIN)
    markdown.inline.ruler.at("emphasis", _emphasis)
    markdown.validateLink = _valid_link
    rules: dict[str, Callable[..., str]] = {"text": _text, "link_open": _link_opened}
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    return markdown


_markdown = _made()
