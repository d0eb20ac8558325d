"""MGSM-zh: 250 of GSM8K's problems in Chinese.

Shi et al. 2022, "Language Models are Multilingual Chain-of-Thought Reasoners", arXiv 2210.03057. Nothing was published
for the base checkpoint; its shots have CMATH's form.
"""

import re

from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, solution_of
from deepseek_math.evaluation.benchmarks import cmath
from deepseek_math.evaluation.published import findings


def read(row: Row, id: str) -> Question:
    """The published file holds a conversation; the hub's lines hold `question` and `answer_number`."""
    worked = solution_of(row)
    if "messages" in row:
        text, answer = row["messages"][0]["content"], row["answer"]
    else:
        text, answer = _without_label(str(row["question"]), "问题"), row["answer_number"]
        worked = worked or str(row.get("answer") or "")
    answer = str(answer).replace(",", "").strip()
    return Question(id, text, answer, (answer,), _without_label(worked, "逐步解答"))


def _without_label(text: str, label: str) -> str:
    """Without the label and its colon in front."""
    return re.sub(f"^{label}[：:]", "", text).strip()


BENCHMARK = Benchmark(
    name="mgsm_zh",
    title="MGSM-zh",
    language="zh",
    read=read,
    judging="expression",
    rules=Rules(findings.solved_once, findings.cmath_number, "one"),
    shots=cmath.SHOTS,
    published={
        ("instruct", "cot", 1): 183 / 250,
        ("instruct", "tool", 1): 180 / 250,
        ("rl", "cot", 1): 199 / 250,
        ("rl", "tool", 1): 196 / 250,
    },
    hub=Hub("juletxara/mgsm", "zh", "test", "train"),
)
