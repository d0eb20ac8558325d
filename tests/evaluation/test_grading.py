r"""Both graders, rule by rule: the strict one is the service's, the published one is as lenient as it was measured."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation.benchmark import Find
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.grade import grade, stated
from deepseek_math.evaluation.published import findings, verdict
from deepseek_math.evaluation.published.normal_form import normal
from deepseek_math.paths import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def workers() -> AsyncIterator[None]:
    await judge().start()
    yield
    await judge().close()


SAME: list[tuple[str, str, bool, str]] = [
    # found, expected, same to the published grader, why
    ("18", "18", True, "the same text"),
    ("18.0", "18", True, "the same number"),
    ("18,000", "18000", True, "commas in thousands"),
    ("50", "0.5", True, "percent: a hundredth passes"),
    ("5", "500", True, "percent: a hundred times as much passes"),
    ("5", "50", False, "a factor of ten does not"),
    ("0.0004", "0", True, "tolerance 1e-3"),
    ("0.002", "0", False, "over the tolerance"),
    ("20\\%", "0.2", True, "percent signs count"),
    ("(1,2)", "[1,2]", True, "brackets of another kind"),
    ("[0,1)", "(0,1]", True, "intervals open at the other end"),
    ("(1,2)", "(2,1)", False, "the order in brackets counts"),
    ("1,2", "2,1", False, "without brackets too, though the strict grader sees a list"),
    ("3j", "3i", True, "j is i"),
    ("\\frac{1}{3}", "0.3333", True, "the tolerance holds for fractions"),
    ("\\sqrt{2}", "1.414", True, "and for roots"),
    ("2\\pi", "6.283", False, "but not for pi, as measured"),
    ("\\frac12", "0.5", True, "spelling of fractions"),
    ("1/2", "\\frac{1}{2}", True, "a slash is a fraction"),
    ("x=5", "5", True, "a short name before an equals sign"),
    ("5", "x=5", True, "on either side"),
    ("5\\text{ m}", "5\\text{ cm}", True, "units are dropped"),
    ("90^\\circ", "90", True, "degrees are dropped"),
    ("(0,1)\\cup(2,3)", "(2,3)\\cup(0,1)", True, "unions in any order"),
    ("x^2+2x+1", "(x+1)^2", True, "algebra"),
    ("16 dollars", "16", False, "a unit in plain words is no formula"),
    ("\\{1,2\\}", "\\{2,1\\}", False, "a set is no formula"),
    ("(1+i)^2", "2i", False, "i is a letter like any other"),
    ("1\\frac{1}{2}", "\\frac{3}{2}", False, "a mixed number is a product"),
    ("2xy", "2yx", True, "letters side by side are a product"),
    ("[0,\\infty)", "[0,+\\infty)", True, "infinity with its sign"),
    ("a", "A", False, "letters keep their case"),
    ("x+2y=3", "3=x+2y", True, "an equation turned round"),
    ("x+2y=3", "2x+4y=6", False, "an equation times two"),
    ("10^{-20}", "10^{-21}", True, "the tolerance holds for powers"),
    ("\\begin{pmatrix}1&0.5\\\\2&3\\end{pmatrix}", "\\begin{bmatrix}1&\\frac12\\\\2&3\\end{bmatrix}", True, "matrices"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}", False, "transposed"),
    ("\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", False, "a row and a column"),
    ("", "5", False, "nothing is not an answer"),
    ("", "", True, "but to what is nothing once units are dropped too"),
]


@pytest.mark.parametrize(("found", "expected", "equal", "why"), SAME, ids=[row[3] for row in SAME])
async def test_the_published_grader_is_as_lenient_as_it_was(found: str, expected: str, equal: bool, why: str) -> None:
    assert await verdict.same("one", [normal(found)], [normal(expected)]) is equal, why


FOUND: list[tuple[Find, str, list[str], str]] = [
    (findings.solved, r"\boxed{1} and \boxed{\frac{1}{2}}", ["1", r"\frac{1}{2}"], "every closed box"),
    (findings.solved, r"so \boxed{12", [], "an open box is no answer"),
    (findings.solved, "The final answer is $7$. I hope so. \\boxed{8}", ["7"], "Minerva's phrase, then a box"),
    (findings.solved, "The answer is 12 apples.\nNo: 13", ["12apples"], "the rest of the line behind the phrase"),
    (findings.solved, "```output\n42\n```", ["42"], "a program's output"),
    (findings.solved, "We get 3, then 1,234.", ["1234"], "else the last number"),
    (findings.solved, "No idea.", [], "else nothing"),
    (findings.solved_once, r"\boxed{1} and \boxed{2}", ["2"], "the last of several"),
    (findings.solved_list, r"\boxed{1\text{ and }2}", ["1", "2"], "one box with an and is two answers"),
    (findings.last_number, "3 + 4 = 7. The answer is 7.\nQ: What is 9?", ["7."], "up to the next question"),
    (findings.last_number, "none", ["[invalid]"], "no number"),
    (findings.solved_list_after_shots, "\\boxed{1}\nProblem: \\boxed{2}", ["1"], "up to the next problem"),
    (findings.hoped, "The final answer is 4.5e33. I hope it is correct.", ["4.5e33"], "OCW's phrase"),
    (findings.hoped, "I hope so", ["[invalid]"], "no phrase"),
    (findings.chosen, "Final Answer: The final answer is (B). I hope", ["B"], "the letter in brackets"),
    (findings.chosen, "the final answer is c", ["C"], "a small letter"),
    (findings.chosen, "It is (B).", ["[invalid]"], "no phrase"),
    (findings.chosen_in_box, r"\boxed{B}", ["B"], "a boxed letter"),
    (findings.chosen_in_box, r"\boxed{Banana}", ["[invalid]"], "a boxed word"),
    (
        findings.cmath_number,
        "99-90=9。所以答案是：9。\n\n\n问题：1+1",
        ["9"],
        "between the phrase and the next question",
    ),
    (findings.cmath_number, "结果\\boxed{8}", ["8"], "no phrase: as for a question alone"),
    (findings.claimed, "答案是 $\\frac{1}{2}$\n问题 7", ["\\frac{1}{2}"], "without its dollars"),
    (findings.claimed, "没有", ["[invalid]"], "no phrase"),
]


@pytest.mark.parametrize(("find", "text", "found", "why"), FOUND, ids=[row[3] for row in FOUND])
async def test_the_published_grader_finds_answers_where_it_did(
    find: Find, text: str, found: list[str], why: str
) -> None:
    assert find("", text) == found, why


ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "1+1?", "answer": "1,002", "cot": "<<1+1=2>>two", "id": "q"},
    "math": {"problem": "Roots, separated by commas?", "solution": "They are \\boxed{1,-1}.", "id": "q"},
    "mgsm_zh": {"messages": [{"role": "user", "content": "1+1=？"}], "answer": "1,002", "id": "q"},
    "cmath": {"question": " 1+1=？", "golden": "2 ", "grade": 1},
    "sat": {"question": "1+1?", "options": "A) 1 B) $(2)$ C) 3", "Answer": "B", "id": "q"},
    "ocw": {"problem": "How far?", "solution": "far", "answer": "4.5e33", "id": "q"},
    "mmlu_stem": {"question": "1+1?", "options": ["1", "2", 3, "4"], "answer": "B"},
    "gaokao_mathcloze": {"question": "填空", "answer": "$5$;$10$"},
    "gaokao_mathqa": {"question": "选\\\\\n", "options": ["(A)$1$", "(B)2"], "label": "B"},
}
ASK = "What of the following is the right choice? Explain your answer."
READ: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "gsm8k": ("1+1?", "1002", ("1002",)),
    "math": ("Roots, separated by commas?", "1,-1", ("1", "-1")),
    "mgsm_zh": ("1+1=？", "1002", ("1002",)),
    "cmath": ("1+1=？", "2", ("2",)),
    "sat": (f"1+1?\n{ASK}\n(A) 1 (B) $(2)$ (C) 3", "B", ("B",)),
    "ocw": ("How far?", "4.5e33", ("4.5e33",)),
    "mmlu_stem": (f"1+1?\n{ASK}\n(A) 1, (B) 2, (C) 3, (D) 4", "B", ("B",)),
    "gaokao_mathcloze": ("填空", "5;10", ("5", "10")),
    "gaokao_mathqa": ("选\n从以下选项中选择:    (A)$1$ (B)2", "B", ("B",)),
}


@pytest.mark.parametrize("name", BENCHMARKS)
async def test_a_line_of_the_published_file_becomes_the_published_question(name: str) -> None:
    question = BENCHMARKS[name].read(ROWS[name], "q")
    assert (question.text, question.expected, question.answers) == READ[name]


async def test_the_hub_s_forms_of_a_line_are_read_too() -> None:
    gsm8k = BENCHMARKS["gsm8k"].read({"question": "?", "answer": "It is <<1+1=2>>2.\n#### 1,002"}, "q")
    assert (gsm8k.expected, gsm8k.solution) == ("1002", "It is 2.\n")
    mgsm = BENCHMARKS["mgsm_zh"].read({"question": "问题：一？", "answer": "逐步解答：好。", "answer_number": 11}, "q")
    assert (mgsm.text, mgsm.expected, mgsm.solution) == ("一？", "11", "好。")
    mmlu = BENCHMARKS["mmlu_stem"].read({"question": "?", "choices": ["1", "2", "3", "4"], "answer": 2}, "q")
    assert mmlu.expected == "C"


GRADED: list[tuple[str, str, bool, bool, bool, str]] = [
    # benchmark, completion, after shots, strict, published, why
    ("gsm8k", r"\boxed{1002}", False, True, True, "right"),
    ("gsm8k", r"\boxed{10.02}", False, False, True, "a hundredth: the published rule for percent"),
    ("gsm8k", "We have 1002 in all", False, False, True, "no box or phrase: the last number counts there"),
    ("gsm8k", r"\boxed{1002", False, False, False, "an open box"),
    ("gsm8k", " It is two. The answer is 1002.", True, True, True, "after shots"),
    ("gsm8k", " So 1002", True, False, True, "after shots the last number"),
    ("math", r"\boxed{-1, 1}", False, True, True, "in any order"),
    ("math", r"\boxed{1}", False, False, False, "one of two"),
    ("math", r"\boxed{1} and \boxed{-1}", False, True, True, "boxes joined by and are one list"),
    ("ocw", r"It is $\boxed{4.5 \times 10^{33}}$ m", False, True, True, "a power of ten"),
    ("ocw", "The final answer is 4.5e33 erg/s. I hope it is correct.", True, True, True, "after shots, with a unit"),
    ("ocw", r"\boxed{4.4e33}", False, False, False, "another number"),
    ("sat", r"\boxed{B}", False, True, True, "the letter"),
    ("sat", r"so \boxed{2}. The answer is (B).", False, True, False, "a boxed value and the letter in a phrase"),
    ("sat", "It is \\boxed{2}.\nFinal Answer: The final answer is (B). I hope", True, True, True, "after shots"),
    ("sat", r"\boxed{C}", False, False, False, "another letter"),
    ("sat", r"\boxed{b}", False, True, False, "a small letter alone"),
    ("sat", r"\boxed{\text{(B)}.}", False, True, True, "in brackets, with a full stop"),
    ("sat", r"\boxed{B) $(2)$}", False, True, True, "with its option's text"),
    ("sat", r"\boxed{(B): (2)}", False, True, True, "with its option's text and a colon"),
    ("sat", r"\boxed{B) 3}", False, False, True, "with another option's text"),
    ("sat", r"\boxed{b + c}", False, False, False, "a formula that begins with the letter"),
    ("sat", r"\boxed{B + 1}", False, False, True, "a formula with a capital"),
    ("sat", "It is \\boxed{c}.\nFinal Answer: The final answer is (B). I hope", True, True, True, "a boxed variable"),
    ("sat", r"so \boxed{b + c}. The answer is B.", False, True, False, "a boxed formula and a phrase"),
    ("sat", "Because B holds", False, False, False, "a letter in passing"),
    ("mmlu_stem", r"\boxed{B. 2}", False, True, True, "from a list with commas"),
    (
        "sat",
        "```python\nprint('the answer is (B)')\n```",
        False,
        False,
        True,
        "a program's words",
    ),
    ("gaokao_mathcloze", r"\boxed{5; 10}", False, True, True, "blanks in order"),
    ("gaokao_mathcloze", r"first \boxed{7}, then \boxed{5; 10}", False, True, True, "the last answers count"),
    ("gaokao_mathcloze", r"\boxed{10, 5}", False, False, False, "blanks in another order"),
    ("gaokao_mathcloze", r"\boxed{5}", False, False, False, "a blank left out"),
    ("gaokao_mathcloze", r"先 $\boxed{5}$，再 $\boxed{$10$}$。", False, True, True, "blanks in boxes of their own"),
    ("gaokao_mathcloze", r"先 $\boxed{10}$，再 $\boxed{5}$。", False, False, False, "boxes in another order"),
    ("gaokao_mathcloze", "```python\n# \\boxed{5}\n```\n\\boxed{10}", False, False, True, "a box in a program"),
    ("gaokao_mathcloze", "答案是 5;10", True, True, True, "after shots"),
    ("gaokao_mathqa", "综上。\n答案是 B", True, True, True, "after shots"),
    ("gaokao_mathqa", "不是 A。\n答案是 A 不对，B", True, False, True, "the letter that appears last"),
    ("cmath", "所以答案是：2。", True, True, True, "after shots"),
    ("mgsm_zh", "答案是 1002。", False, True, True, "a Chinese phrase, and the last number"),
]


@pytest.mark.parametrize(("name", "text", "shots", "strict", "lenient", "why"), GRADED, ids=[row[5] for row in GRADED])
async def test_both_graders_judge_every_completion(
    name: str, text: str, shots: bool, strict: bool, lenient: bool, why: str
) -> None:
    question = BENCHMARKS[name].read(ROWS[name], "q")
    found = await grade(BENCHMARKS[name], question, text, shots)
    assert (found.correct, found.published_correct) == (strict, lenient), why


async def test_published_figures_are_those_of_the_published_file() -> None:
    """Every accuracy that deepseek-ai/DeepSeek-Math publishes for a benchmark of these, and none beside."""
    file = json.loads((ROOT / "tests/data/published_results.json").read_text())
    names = {
        "gsm8k-test": "gsm8k", "gsm8k-cot-test": "gsm8k", "math-test": "math", "math-cot-test": "math",
        "mgsm-zh": "mgsm_zh", "cmath": "cmath", "cmath-cot-test": "cmath", "math_sat": "sat", "OCWCourses": "ocw",
        "MMLU-STEM-test": "mmlu_stem", "agieval-gaokao-mathcloze-cot-test": "gaokao_mathcloze",
        "agieval-gaokao-mathqa-cot-test": "gaokao_mathqa",
    }  # fmt: skip
    published = {
        (names[test], checkpoint.removeprefix("DeepSeekMath-").lower(), mode): result["accuracy"]
        for checkpoint, tests in file.items()
        for test, modes in tests.items()
        for mode, result in modes.items()
        if test in names and "accuracy" in result
    }
    here = {
        (name, checkpoint, mode): figure
        for name, benchmark in BENCHMARKS.items()
        for (checkpoint, mode, samples), figure in benchmark.published.items()
        if samples == 1
    }
    assert here == published


LAST_OUTPUT: list[tuple[str, str | None]] = [
    ("So\n```python\nprint(5)\n```\n```output\n5\n```\n", "5"),
    ("```output\n4\n```\nSo\n```python\nprint(5)\n```\n```output\n(5, 6)\n```\n", "(5, 6)"),
    ("\\boxed{4}\n```python\nprint(5)\n```\n```output\n5\n```\n", "4"),
    ("```output\n5\n```\nSo that is it.", None),
    ("```output\n5", None),
]


@pytest.mark.parametrize(("text", "answer"), LAST_OUTPUT)
async def test_an_output_that_ends_a_completion_is_its_answer(text: str, answer: str | None) -> None:
    benchmark = BENCHMARKS["math"]
    question = benchmark.read({"problem": "?", "solution": "\\boxed{5}", "answer": "5"}, "q")
    assert stated(benchmark, question, text, after_shots=False) == answer
