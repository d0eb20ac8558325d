"""MMLU-STEM: 3018 multiple-choice questions of 18 subjects of science.

Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", arXiv 2009.03300. The hub's set has more
questions than the 3018 that the number was published for: pass the published file as --data to compare exactly.
"""

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, lettered, solution_of
from deepseek_math.evaluation.benchmarks.sat import ASK, CHOICE_SHOTS


def read(row: Row, id: str) -> Question:
    """The published file has `options` and a letter, the hub's lines have `choices` and a place."""
    options = row["options"] if "options" in row else row["choices"]
    answer = row["answer"] if isinstance(row["answer"], str) else dict(enumerate("ABCD"))[row["answer"]]
    text = f"{str(row['question']).strip()}\n{ASK}\n{lettered(options)}"
    return Question(id, text, answer, (answer,), solution_of(row))


BENCHMARK = Benchmark(
    name="mmlu_stem",
    title="MMLU-STEM",
    read=read,
    judging="choice",
    rules=Rules(answers.chosen_in_box, answers.chosen, equality.same_letter),
    shots=CHOICE_SHOTS,
    published={("base", "cot", 1): 1704 / 3018},
    hub=Hub("TIGER-Lab/MMLU-STEM", "default", "test"),
)
