r"""The answer a completion states is found, undressed, and never made out of half a box."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_math.answers.extraction import Answer, extract, tidy

pytestmark = pytest.mark.unit

TABLE: list[tuple[str, str | None, str | None, str]] = [
    # completion, answer, source, why
    (r"So \boxed{5}", "5", "boxed", "a box"),
    (r"So $x=\boxed{5}$.", "5", "boxed", "a box in math"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "boxed", "nested braces"),
    (r"\boxed{\frac{\sqrt{3}}{2^{n}}}", r"\frac{\sqrt{3}}{2^{n}}", "boxed", "braces three deep"),
    (r"\boxed{\{1,2\}}", r"\{1,2\}", "boxed", "escaped braces belong to the answer"),
    (r"\boxed{\left\{1\right\}}", r"\{1\}", "boxed", "sized braces lose their size"),
    (r"\boxed{x \mid x \in \{1\}", None, None, "an escaped brace closes nothing"),
    (r"first \boxed{1}, then \boxed{2}", "2", "boxed", "the last box counts"),
    (r"\boxed{1} and so \boxed{2", "1", "boxed", "an open box counts for nothing, the complete one before does"),
    (r"\boxed{", None, None, "an open box"),
    (r"\boxed{12", None, None, "half an answer is no answer"),
    (r"\boxed{\frac{1}{2}", None, None, "one brace short"),
    (r"The answer is \boxed{12", None, None, "a phrase does not save the open box in it"),
    (r"The answer is $\boxed{\frac{1}{2}$", None, None, "one brace short, in a phrase"),
    ("The answer is 5. Check: \\boxed{7", "5", "phrase", "a complete sentence before an open box stands"),
    (r"The answer is \boxed{5}.", "5", "boxed", "box before phrase"),
    (r"\boxed{5}. The answer is 6.", "5", "boxed", "box before phrase, wherever it stands"),
    (r"\boxed{}", None, None, "an empty box"),
    (r"\boxed{ }", None, None, "a blank box"),
    (r"\boxed{5}, \boxed{}", "5", "boxed", "an empty box says nothing"),
    (r"The answer is within \boxed{}.", None, None, "a claim about an empty box claims nothing"),
    (r"The answer is 4. The answer is in \fbox{ }.", "4", "phrase", "nor does it take the place of one before"),
    (r"put it in \boxed{}. The answer is 3.", "3", "phrase", "the empty box of the instruction"),
    (r"\fbox{7}", "7", "boxed", "the other box"),
    (r"\boxed 5", "5", "boxed", "a box without braces"),
    (r"$\boxed5$", "5", "boxed", "a box without braces or space"),
    (r"\boxed -3.", "-3", "boxed", "a sign without braces"),
    (r"\boxed A", "A", "boxed", "a choice without braces"),
    (r"\boxed the answer", None, None, "a word is no answer of a box without braces"),
    (r"\boxed{ 5 }", "5", "boxed", "blanks around"),
    (r"\boxed {5}", "5", "boxed", "a blank before the brace"),
    ("\\boxed{\n5\n}", "5", "boxed", "lines inside"),
    (r"\boxedness{5}", None, None, "another command"),
    (r"\boxed{\boxed{5}}", "5", "boxed", "a box in a box"),
    (r"} \boxed{5}", "5", "boxed", "a stray closing brace before"),
    (r"{ \boxed{5}", "5", "boxed", "a stray opening brace before"),
    (r"\boxed{5} }", "5", "boxed", "a stray closing brace after"),
    (r"\boxed{3 \boxed{4}", "4", "boxed", "a complete box inside an open one"),
    # clothes
    (r"\boxed{\text{Monday}}", "Monday", "boxed", "words in text"),
    (r"\boxed{\textbf{(B)}}", "(B)", "boxed", "a bold choice"),
    (r"\boxed{\mathrm{C}}", "C", "boxed", "an upright choice"),
    (r"\boxed{5\text{ cm}}", "5 cm", "boxed", "a unit stays, its markup goes"),
    (r"\boxed{5\text{cm}}", "5 cm", "boxed", "a unit is set off from its number"),
    (r"\boxed{5\,\text{m/s}}", "5 m/s", "boxed", "a thin space"),
    (r"\boxed{12\text{ cm}^2}", "12 cm^2", "boxed", "a power of a unit"),
    (r"\boxed{5.}", "5", "boxed", "a full stop inside"),
    (r"\boxed{5。}", "5", "boxed", "a Chinese full stop inside"),
    (r"\boxed{5!}", "5!", "boxed", "a factorial is no exclamation"),
    (r"\boxed{$5$}", "5", "boxed", "dollars inside"),
    (r"\boxed{\(5\)}", "5", "boxed", "brackets of math inside"),
    (r"\boxed{\$5}", r"\$5", "boxed", "a dollar that is meant"),
    (r"\boxed{50\%}", r"50\%", "boxed", "a percent sign"),
    (r"\boxed{90^\circ}", r"90^\circ", "boxed", "degrees"),
    (r"\boxed{\left(1,2\right)}", "(1,2)", "boxed", "the size of brackets"),
    (r"\boxed{1,\ldots}", r"1,\ldots", "boxed", "dots are part of it"),
    (r"\boxed{x \text{ or } y}", "x or y", "boxed", "words between"),
    (r"\boxed{5元}", "5元", "boxed", "a Chinese unit"),
    (r"\boxed{是}", "是", "boxed", "a Chinese word"),
    # programs
    ("```python\nprint('The answer is 3')\n```\n```output\nThe answer is 3\n```\nSo", None, None, "a program's words"),
    ("\\boxed{2}\n```py\ns = '\\boxed{3}'\n```", "2", "boxed", "a box in a program"),
    ("The answer is 2.\n```python\ns = '\\boxed{3}'", "2", "phrase", "a program that is still open"),
    ("```python\nd = {\n```\n\\boxed{2}", "2", "boxed", "a brace in a program"),
    ("The answer is:\n```output\n3\n```\nWe see it.", None, None, "an output in an answer's place"),
    ("```\nThe answer is 5.\n```", "5", "phrase", "a block that is no program"),
    # phrases
    ("The answer is 5.", "5", "phrase", "the phrase of the few-shot prompts"),
    ("The answer is 5", "5", "phrase", "no full stop"),
    ("The answer is 3.5. Done.", "3.5", "phrase", "a decimal point ends no sentence"),
    ("The answer is: 5", "5", "phrase", "a colon"),
    ("the final answer is $\\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}", "phrase", "Minerva's phrase"),
    ("Final answer: 42", "42", "phrase", "a heading"),
    ("**Answer:** 42", "42", "phrase", "a bold heading"),
    ("So our answer is **12**.", "12", "phrase", "bold"),
    ("The correct answer is (B).", "(B)", "phrase", "a choice"),
    ("The answers are 1 and 2.", "1 and 2", "phrase", "several answers"),
    ("The answer to the problem is 7.", "7", "phrase", "words between"),
    ("The answer is 1. No: the answer is 2.", "2", "phrase", "the last claim counts"),
    ("The answer is 5. The answer is", "5", "phrase", "a claim that was cut off says nothing"),
    ("The answer is\n\\[\n5\n\\]", "5", "phrase", "display math on its own lines"),
    ("The answer is $$x=5$$ as shown.", "x=5 as shown", "phrase", "to the end of the sentence, no cleverer"),
    ("The answer is 5, because 2+3=5.", "5", "phrase", "a reason is not the answer"),
    ("The answer is 5 cm.\nAnother line.", "5 cm", "phrase", "a line ends a sentence"),
    ("The answer is 1,000.", "1,000", "phrase", "a thousands separator"),
    ("The answer is \\$5.", r"\$5", "phrase", "a price"),
    ("答案是5。", "5", "phrase", "Chinese"),
    ("所以答案是12元。", "12元", "phrase", "Chinese with a unit"),
    ("答案为：3", "3", "phrase", "Chinese with a colon"),
    ("答案：$\\frac12$", r"\frac12", "phrase", "a Chinese heading"),
    ("最终答案是 x=5，因为如此。", "x=5", "phrase", "a Chinese reason is not the answer"),
    ("故选：B．", "B", "phrase", "the end of a Gaokao solution"),
    ("答案应该是7", "7", "phrase", "a Chinese guess"),
    ("答案是5。答案是6。", "6", "phrase", "the last claim counts in Chinese"),
    ("So **the final answer should be $5$**.", "5", "phrase", "a claim in bold, of what should be"),
    ("The answer must be 5.", "5", "phrase", "what must be"),
    ("The answer is therefore 7.", "7", "phrase", "a word between"),
    ("The answer is 7, and we are done.", "7", "phrase", "what follows is not the answer"),
    ("The answer is 7 because 3+4=7.", "7", "phrase", "a reason without a comma"),
    ("The answer is 1, 2 and 3.", "1, 2 and 3", "phrase", "a comma in a list ends nothing"),
    ("Final Answer: The largest $n$ is 34.", "34", "phrase", "a sentence that says what the answer is of"),
    ("The correct option is B.", "B", "phrase", "an option"),
    ("### Answer\n\n5", "5", "phrase", "the line below a heading"),
    ("**Final Answer**\n\n$5$", "5", "phrase", "the line below a bold heading"),
    ("Final Answer\n5", None, None, "two words on a line are no heading"),
    ("Ans: 7", "7", "phrase", "a short heading"),
    ("<answer>42</answer>", "42", "phrase", "a tag"),
    ("She has 2 * 9 = $18.\n#### 18", "18", "phrase", "the last line of GSM8K's solutions"),
    ("#### Step 2: we add 5", None, None, "a heading of the fourth level is no answer"),
    ("The answer is 5</s>", "5", "phrase", "a token that ends a text"),
    ("【答案】C", "C", "phrase", "a Chinese heading in brackets"),
    ("答案选C", "C", "phrase", "a Chinese choice"),
    ("正确选项是B", "B", "phrase", "a Chinese option"),
    # adjacent boxes
    (r"$\boxed{-2}$ and $\boxed{1}$.", "-2, 1", "boxed", "boxes joined by a word"),
    (r"\[\boxed{1} \quad \text{or} \quad \boxed{2}\]", "1, 2", "boxed", "boxes joined by a word in text"),
    (r"\boxed{1}, \boxed{2}, and \boxed{3}", "1, 2, 3", "boxed", "three boxes"),
    (r"$x=\boxed{1}$ and $y=\boxed{2}$", "x=1, y=2", "boxed", "each with its name"),
    (r"\boxed{1}\boxed{2}", "1, 2", "boxed", "nothing between"),
    ("\\boxed{5}\n\n\\boxed{5}", "5", "boxed", "said twice"),
    (r"\boxed{1}. Then \boxed{2}", "2", "boxed", "boxes apart"),
    (r"\boxed{1} and \boxed{}, \boxed{2}", "2", "boxed", "an empty box joins nothing"),
    # markup
    (r"\\boxed{\\frac{1}{2}}", r"\\frac{1}{2}", "boxed", "a doubled backslash"),
    (r"\boxed\frac12", r"\frac12", "boxed", "a fraction without braces"),
    (r"\boxed\sqrt{2}", r"\sqrt{2}", "boxed", "a root without braces"),
    (r"\boxed{10,\!080}", "10{,}080", "boxed", "a separator of thousands stays one"),
    (r"\boxed{\color{red}{5}}", "{5}", "boxed", "a colour goes"),
    (r"\boxed{\Large 5 \tag{1}}", "5", "boxed", "a size and a tag go"),
    (r"\boxed{\text{The answer is } 5}", "5", "boxed", "words in a box"),
    (r"\boxed{\begin{aligned}12\end{aligned}}", "12", "boxed", "lines around one"),
    # nothing
    ("", None, None, "no text"),
    ("I do not know.", None, None, "no claim"),
    ("x = 5", None, None, "a calculation is no claim"),
    ("The answer is", None, None, "cut off before the answer"),
    ("answering is 5", None, None, "another word"),
    ("The answer is " + "very " * 200 + "long.", None, None, "an explanation is no answer"),
]

HOSTILE = {
    "boxes never closed": "\\boxed{" * 14_000,
    "boxes in boxes": "\\boxed{" * 12_000 + "}" * 12_000,
    "text in text": "\\boxed{" + "\\text{" * 15_000 + "}" * 15_001,
    "empty boxes": "\\boxed{}" * 12_000,
    "bare boxes": "\\boxed " * 14_000,
    "braces": "{" * 100_000,
    "phrases": "The answer is " * 7_000,
    "Chinese phrases": "答案是" * 33_000,
    "beginnings of phrases": "the final correct " * 5_000,
    "answers to": "the answer to " * 7_000,
    "dollars": "The answer is $" * 6_000,
    "backslashes": "\\" * 100_000,
    "spaces": "\\boxed" + " " * 100_000,
    "lines": "answer" + "\n" * 100_000,
    "adjacent boxes": "\\boxed{1} and " * 7_000,
    "hashes": "#### " * 20_000,
    "numbered hashes": "#### 1\n" * 14_000,
    "one line of hashes": "#### " + "\\a" * 50_000,
    "headings": "**Answer**\n" * 9_000,
    "words of a claim": "The answer is " + "therefore " * 10_000,
    "claims in boxes": "\\boxed{\\text{The answer is " * 4_000 + "}}" * 4_000,
    "open math": "The answer is \\[" * 6_000,
}


@pytest.mark.parametrize(("text", "answer", "source", "why"), TABLE)
def test_the_answer_of_a_completion(text: str, answer: str | None, source: str | None, why: str) -> None:
    assert extract(text) == Answer(answer, source), why  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_linear(name: str) -> None:
    """100 kB of the worst in a moment: a quadratic scan would take minutes."""
    started = time.perf_counter()
    extract(HOSTILE[name])
    assert time.perf_counter() - started < 10  # seconds; quadratic work would take minutes


balanced = st.recursive(
    st.text("ab1+ ", min_size=1, max_size=5),
    lambda inner: inner.map("{{{}}}".format) | st.tuples(inner, inner).map("".join),
)


@given(st.text("ab {}$.\\", max_size=20), balanced)
def test_a_complete_box_is_found_after_anything(before: str, content: str) -> None:
    before = before.rstrip("\\")  # a backslash there would make another command of the box's
    expected = tidy(content)
    found = extract(f"{before} \\boxed{{{content}}}")
    if expected:
        assert found == Answer(expected, "boxed")


@given(st.text("ab1 .,;$", max_size=10), balanced)
def test_a_box_is_no_answer_until_it_is_closed(before: str, content: str) -> None:
    whole = f"{before}\\boxed{{{content}}}"
    for cut in range(len(before), len(whole)):
        assert extract(whole[:cut]).source != "boxed"


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    answer = extract(text)
    assert (answer.text is None) == (answer.source is None)
    assert answer.text != ""


@given(st.text("ab1${}()[]\\., *text", max_size=40))
def test_an_undressed_answer_stays_so(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
