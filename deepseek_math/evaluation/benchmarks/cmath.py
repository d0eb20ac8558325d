"""CMATH: 1098 problems of Chinese primary schools with a number as the answer.

Wei et al. 2023, "CMATH: Can Your Language Model Pass Chinese Elementary School Math Test?", arXiv 2306.16636.
"""

from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots, solution_of
from deepseek_math.evaluation.published import findings
from deepseek_math.few_shot import FORMS

SHOTS = Shots(6, FORMS["zh"])


def read(row: Row, id: str) -> Question:
    answer = str(row["golden"]).strip().replace(",", "")
    return Question(id, str(row["question"]).strip(), answer, (answer,), solution_of(row))


BENCHMARK = Benchmark(
    name="cmath",
    title="CMATH",
    language="zh",
    read=read,
    judging="expression",
    rules=Rules(findings.solved_once, findings.cmath_number, "one"),
    shots=SHOTS,
    published={
        ("base", "cot", 1): 787 / 1098,
        ("instruct", "cot", 1): 929 / 1098,
        ("instruct", "tool", 1): 926 / 1098,
        ("rl", "cot", 1): 975 / 1098,
        ("rl", "tool", 1): 962 / 1098,
    },
    hub=Hub("weitianwen/cmath", "default", "test"),
)
