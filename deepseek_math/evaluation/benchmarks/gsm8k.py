"""GSM8K: 1319 grade-school word problems in English with a whole number as the answer.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", arXiv 2110.14168.
"""

import re

from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots, solution_of
from deepseek_math.evaluation.published import findings
from deepseek_math.few_shot import FORMS


def read(row: Row, id: str) -> Question:
    """The hub's lines have the solution and, behind ####, the answer in one field; the published file has two."""
    solution, _, answer = str(row["answer"]).rpartition("####")
    worked = re.sub(r"<<[^<>]*>>", "", solution or solution_of(row))
    answer = answer.strip().replace(",", "")
    return Question(id, row["question"], answer, (answer,), worked)


BENCHMARK = Benchmark(
    name="gsm8k",
    title="GSM8K",
    language="en",
    read=read,
    judging="expression",
    rules=Rules(findings.solved_once, findings.last_number, "one"),
    shots=Shots(8, FORMS["en"]),
    published={
        ("base", "cot", 1): 847 / 1319,
        ("instruct", "cot", 1): 1093 / 1319,
        ("instruct", "tool", 1): 1104 / 1319,
        ("rl", "cot", 1): 1164 / 1319,
        ("rl", "tool", 1): 1143 / 1319,
    },
    hub=Hub("openai/gsm8k", "main", "test", "train"),
)
