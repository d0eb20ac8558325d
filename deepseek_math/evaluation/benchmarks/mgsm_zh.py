"""MGSM-zh: 250 of GSM8K's problems in Chinese.

Shi et al. 2022, "Language Models are Multilingual Chain-of-Thought Reasoners", arXiv 2210.03057. Nothing was published
for the base checkpoint; its shots have CMATH's form.
"""

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, solution_of
from deepseek_math.evaluation.benchmarks import cmath


def read(row: Row, id: str) -> Question:
    """The published file holds a conversation; the hub's lines hold `question` and `answer_number`."""
    if "messages" in row:
        text, answer = row["messages"][0]["content"], row["answer"]
    else:
        text, answer = str(row["question"]).removeprefix("问题：").removeprefix("问题:").strip(), row["answer_number"]
    answer = str(answer).replace(",", "").strip()
    worked = solution_of(row) or str(row.get("answer") or "") * ("answer_number" in row)
    worked = worked.removeprefix("逐步解答：").removeprefix("逐步解答:").strip()
    return Question(id, text, answer, (answer,), worked)


BENCHMARK = Benchmark(
    name="mgsm_zh",
    title="MGSM-zh",
    read=read,
    judging="expression",
    rules=Rules(answers.solved_once, answers.cmath_number, equality.same_one),
    shots=cmath.SHOTS,
    published={
        ("instruct", "cot", 1): 183 / 250,
        ("instruct", "tool", 1): 180 / 250,
        ("rl", "cot", 1): 199 / 250,
        ("rl", "tool", 1): 196 / 250,
    },
    hub=Hub("juletxara/mgsm", "zh", "test", "train"),
)
