"""MMLU-STEM: 3018 multiple-choice questions of 18 subjects of science.

Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", arXiv 2009.03300. The hub's set has more
questions than the 3018 that the number was published for: pass the published file as --data to compare exactly.
"""

from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, solution_of
from deepseek_math.evaluation.benchmarks.sat import ASK, CHOICE_SHOTS
from deepseek_math.evaluation.published import findings


def read(row: Row, id: str) -> Question:
    """The published file has `options` and a letter, the hub's lines have `choices` and a number."""
    texts = row["options"] if "options" in row else row["choices"]
    options = {letter: str(text).strip() for letter, text in zip("ABCDEFG", texts, strict=False)}
    answer = row["answer"] if isinstance(row["answer"], str) else dict(enumerate("ABCD"))[row["answer"]]
    listed = ", ".join(f"({letter}) {text}" for letter, text in options.items())
    text = f"{str(row['question']).strip()}\n{ASK}\n{listed}"
    return Question(id, text, answer, (answer,), solution_of(row), options)


BENCHMARK = Benchmark(
    name="mmlu_stem",
    title="MMLU-STEM",
    language="en",
    read=read,
    judging="choice",
    rules=Rules(findings.chosen_in_box, findings.chosen, "letter"),
    shots=CHOICE_SHOTS,
    published={("base", "cot", 1): 1704 / 3018},
    hub=Hub("TIGER-Lab/MMLU-STEM", "default", "test"),
)
