"""The published grader: the original's verdicts, on rows of the published files, and what it must never do."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation import undecided
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.grade import grade
from deepseek_math.evaluation.published import findings, verdict
from deepseek_math.evaluation.published.normal_form import normal

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = Path(__file__).parents[1] / "data"


def table(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workers() -> AsyncIterator[None]:
    await judge().start()
    yield
    await judge().close()


async def test_every_verdict_is_the_original_s() -> None:
    """The table's verdicts are those of evaluation/ in deepseek-ai/DeepSeek-Math at b8b0f8c, run with sympy 1.12 and
    antlr 4.11. `fields` is a row of the published files, without the question's text."""
    wrong = []
    for case in table("published_verdicts.jsonl"):
        benchmark = BENCHMARKS[case["benchmark"]]
        question = benchmark.read(case["fields"], "q")
        find = benchmark.rules.find_after_shots if case["after_shots"] else benchmark.rules.find
        found = find(question.text, case["completion"])
        if await verdict.same(benchmark.rules.same, found, question.answers) is not case["published"]:
            wrong.append((case["benchmark"], case["row"], case["kind"], case["published"], found))
    assert wrong == []


@pytest.mark.usefixtures("workers")
async def test_a_right_completion_is_right_to_the_strict_grader_in_every_dress() -> None:
    """`answer` is what a right completion of the published files' rows says, in the ways that models write it."""
    wrong = []
    for case in table("right_completions.jsonl"):
        benchmark = BENCHMARKS[case["benchmark"]]
        question = benchmark.read(case["fields"], "q")
        found = await grade(benchmark, question, case["completion"], case["after_shots"])
        if not found.correct:
            wrong.append((case["benchmark"], case["row"], case["kind"], found.answer))
    assert wrong == []


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (r"\frac9{5}", r"\frac{9}{5}"),
        (r"-\frac1{2x}", r"-\frac{1}{2x}"),
        (r"\dfrac12\text{ cm}", r"\frac{1}{2}"),
        (r"\frac1", r"\frac1"),
        (r"\sqrt23", r"\sqrt{23}"),
        (r"\sqrt[3]{2}", r"\sqrt[3]{2}"),
        (r"\tan 5x", r"\tan{5x}"),
        (r"(0,+\infty)", r"(0,+\infty)"),
        ("(0,inf)", r"(0,\infty)"),
        ("10.00", "10"),
        (".5", "0.5"),
        ("3/4", r"\frac{3}{4}"),
        ("03/4", "03/4"),
        (r"2\sqrt{3}/3", r"\frac{2\sqrt{3}}{3}"),
        (r"\text{6 p.m.}", "6"),
        (r"6 \text{ p.m.}", "6"),
        (r"\mbox{even}", ""),
        (r"\text{Monday}", "Monday"),
        (r"\text{a} or \text{b}", "a}or\\text{b"),
        ("90^\\circ", "90"),
        (r"5\{m\}^2", r"5\{m\}^2"),
        (r"20\%.", "20%"),
        (r"x\in[1,2]", r"[1,2]"),
    ],
)
async def test_the_normal_form_is_the_original_s(answer: str, form: str) -> None:
    assert normal(answer) == form


LISTED = "Find all roots, separated by commas."
LISTS: list[tuple[str, str, list[str], str]] = [
    # question, solution, answers, why
    (LISTED, r"\boxed{1,2} so \boxed{1,2}", ["1", "2", "1", "2"], "boxed twice: split before repetitions are dropped"),
    (LISTED, r"\boxed{7,-2,\text{ and }-5}", ["7", "-2", r"\text{and}-5"], "commas go before and: no empty answer"),
    (LISTED, r"\boxed{(1,2)}", ["(1,2)"], "nothing is split in brackets"),
    ("Find both.", r"\boxed{1\text{ and }2}", ["1", "2"], "else at and"),
    ("Find both.", r"\boxed{1,2}", ["1,2"], "else not at commas"),
]


@pytest.mark.parametrize(("question", "solution", "answers", "why"), LISTS, ids=[row[3] for row in LISTS])
async def test_lists_are_split_as_there_and_equal_themselves(
    question: str, solution: str, answers: list[str], why: str
) -> None:
    assert findings.solved_list(question, solution) == answers, why
    assert await verdict.same("list", answers, answers)


async def test_a_formula_is_never_run_as_a_program(tmp_path: Path) -> None:
    """The original hands what its parser can't read to Python's eval."""
    file = tmp_path / "ran"
    for text in (f"open({str(file)!r}, 'w').write('7')", f"1 + open({str(file)!r}, 'w').write('7')"):
        assert await verdict.same("one", [text], ["7"]) is False
        assert await verdict.same("ocw", [text], ["7"]) is False
    assert not file.exists()


async def test_numbers_are_read_in_python_s_notation_and_in_latex_s() -> None:
    for text in ("4.5e33", "4.5*10**33", r"4.5 \times 10^{33}", "45e32 erg/s", "$4.5e33$"):
        assert await verdict.same("ocw", [text], ["4.5e33"]) is True, text
    assert await verdict.same("ocw", ["10^3"], ["1000"]) is False  # in Python that is 9


async def test_a_process_of_a_large_parent_is_kept() -> None:
    """Linux counts the memory of the parent in a child's peak (ru_maxrss): each verdict would cost a new process."""
    large = b"x" * (700 << 20)
    process = verdict._start()
    answer = verdict._reply(process, {"rule": "one", "found": ["1"], "expected": ["1"]})
    assert answer == {"same": True, "retire": False}
    process.kill()
    process.communicate()
    assert len(large) == 700 << 20


async def test_a_process_ends_with_its_time_and_the_next_question_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "SECONDS", 3.0)
    process = verdict._start()
    hostile = {"rule": "one", "found": ["(x+1)^{4000}(x+2)^{4000}(y+1)^{4000}"], "expected": ["x^2+y"]}
    assert verdict._reply(process, {"rule": "one", "found": ["x+x"], "expected": ["2x"]}) == {
        "same": True,
        "retire": False,
    }
    assert verdict._reply(process, hostile) is None
    assert process.wait(timeout=30) == -14
    assert verdict._reply(process, hostile) is None  # to a dead process
    process.communicate()


async def test_a_verdict_that_no_process_lived_to_give_is_noted_and_the_process_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(verdict.PROCESSES):
        process = verdict._idle.get()
        if process is not None:
            process.kill()
            process.communicate()
        verdict._idle.put(None)
    with monkeypatch.context() as patched:
        patched.setattr(verdict, "MODULE", "deepseek_math.no_such_module")
        with undecided.noted() as reasons:
            assert await verdict.same("one", ["1"], ["1"]) is False
    assert reasons == ["the published grader took over 15 s, or too much memory"]
    assert await verdict.same("one", ["1"], ["1"]) is True
