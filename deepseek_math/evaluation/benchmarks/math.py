r"""MATH: 5000 competition problems in English; the answer is what the solution boxes.

Hendrycks et al. 2021, "Measuring Mathematical Problem Solving With the MATH Dataset", arXiv 2103.03874. The 4 published
shots are Minerva's (Lewkowycz et al. 2022, arXiv 2206.14858); ours come from the training split.
"""

from deepseek_math.answers.extraction import extract
from deepseek_math.evaluation import published_answers as given
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots


def read(row: Row, id: str) -> Question:
    """The published grader splits answers at commas where the question asks for several."""
    answers = given.solved_list(row["solution"])
    if "separated by commas" in row["problem"]:
        answers = [
            part.strip() for each in answers for part in (each.split(",") if not set(each) & set("()[]") else [each])
        ]
    expected = extract(row["solution"]).text or ""
    return Question(id, row["problem"], expected, tuple(answers), row["solution"])


BENCHMARK = Benchmark(
    name="math",
    title="MATH",
    read=read,
    judging="expression",
    rules=Rules(given.solved_list, given.solved_list_once, equality.same_list),
    shots=Shots(
        4,
        "Problem:\n{question}\n\nSolution:",
        "\n{solution}\nFinal Answer: The final answer is ${answer}$. I hope it is correct.",
        "\n\n",
        "\nProblem:",
    ),
    published={
        ("base", "cot", 1): 1809 / 5000,
        ("instruct", "cot", 1): 2341 / 5000,
        ("instruct", "tool", 1): 2875 / 5000,
        ("rl", "cot", 1): 2585 / 5000,
        ("rl", "cot", 64): 0.609,  # majority of 64; arXiv 2402.03300, abstract
        ("rl", "tool", 1): 2939 / 5000,
    },
    hub=Hub("DigitalLearningGmbH/MATH-lighteval", "default", "test", "train"),
)
