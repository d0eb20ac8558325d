"""Stop strings end the text at the same character however it is cut into chunks, and never show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_math.stop_strings import StopStrings

pytestmark = pytest.mark.unit

TABLE: list[tuple[tuple[str, ...], str, str, str | None]] = [
    # stop strings, text, what is shown, which one ended it
    ((), "any text", "any text", None),
    (("END",), "no such string", "no such string", None),
    (("END",), "a END b", "a ", "END"),
    (("END",), "END", "", "END"),
    (("END",), "ENEND", "EN", "END"),  # a false start right before the real one
    (("END",), "EN", "EN", None),  # held back until the model ends by itself
    (("aab",), "aaab", "a", "aab"),  # the match overlaps its own false start
    (("abab",), "abaabab", "aba", "abab"),
    (("\n\n",), "one\ntwo\n\nthree", "one\ntwo", "\n\n"),
    (("b", "abc"), "abc", "a", "b"),  # complete first, though it starts later
    (("bc", "abc"), "abc", "", "abc"),  # both complete at once: the longer
    (("x", "y"), "1y2x", "1", "y"),
    (("答案",), "所以答案是", "所以", "答案"),
    (("🙂",), "ok 🙂 then", "ok ", "🙂"),
    (("```output",), "```python\nprint(1)\n```\n```output\n1", "```python\nprint(1)\n```\n", "```output"),
    (("User:",), "Us User User:", "Us User ", "User:"),
    (("a",), "aaa", "", "a"),
]


def run(strings: tuple[str, ...], chunks: list[str]) -> tuple[str, str | None]:
    stops = StopStrings(strings)
    shown = ""
    for chunk in chunks:
        shown += stops.feed(chunk)
        if stops.hit is not None:
            return shown, stops.hit
    return shown + stops.flush(), stops.hit


@pytest.mark.parametrize(("strings", "text", "shown", "hit"), TABLE)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_stop_strings_end_the_text(strings: tuple[str, ...], text: str, shown: str, hit: str | None, size: int) -> None:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert run(strings, chunks) == (shown, hit)


short_text = st.text("ab\n", max_size=12)


@given(st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4), st.lists(short_text, max_size=8))
def test_chunks_do_not_matter(strings: list[str], chunks: list[str]) -> None:
    text = "".join(chunks)
    shown, hit = run(tuple(strings), chunks)
    assert (shown, hit) == run(tuple(strings), [text])
    assert (shown, hit) == run(tuple(strings), list(text))
    assert text.startswith(shown)
    assert (hit is None) == (not any(string in text for string in strings))
    assert not any(string in shown for string in strings)


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=4), st.lists(short_text, max_size=8))
def test_only_a_possible_beginning_is_held_back(strings: list[str], chunks: list[str]) -> None:
    """Nothing waits that could be shown: what is held back is the beginning of some stop string."""
    stops, seen, shown = StopStrings(tuple(strings)), "", ""
    for chunk in chunks:
        seen += chunk
        shown += stops.feed(chunk)
        if stops.hit is not None:
            return
        held = seen[len(shown) :]
        assert not held or any(string.startswith(held) for string in strings)
