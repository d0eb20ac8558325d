"""GSM8K: 1319 grade-school word problems in English with a whole number as the answer.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", arXiv 2110.14168.
"""

import re

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots


def read(row: Row, id: str) -> Question:
    """The hub's lines have the solution and, behind ####, the answer in one field; the published file has two."""
    solution, mark, answer = str(row["answer"]).rpartition("####")
    worked = re.sub(r"<<[^<>]*>>", "", solution if mark else str(row.get("cot") or row.get("solution") or ""))
    answer = answer.strip().replace(",", "")
    return Question(id, row["question"], answer, (answer,), worked)


BENCHMARK = Benchmark(
    name="gsm8k",
    title="GSM8K",
    read=read,
    judging="expression",
    rules=Rules(answers.solved_once, answers.last_number, equality.same_one),
    shots=Shots(8, "Q: {question}\nA:", " {solution} The answer is {answer}.", "\n\n\n", "\nQ:"),
    published={
        ("base", "cot", 1): 847 / 1319,
        ("instruct", "cot", 1): 1093 / 1319,
        ("instruct", "tool", 1): 1104 / 1319,
        ("rl", "cot", 1): 1164 / 1319,
        ("rl", "tool", 1): 1143 / 1319,
    },
    hub=Hub("openai/gsm8k", "main", "test", "train"),
)
