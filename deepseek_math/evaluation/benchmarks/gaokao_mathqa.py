"""Gaokao MathQA: 351 multiple-choice questions of Chinese college entrance exams.

Zhong et al. 2023, "AGIEval: A Human-Centric Benchmark for Evaluating Foundation Models", arXiv 2304.06364. The file is
AGIEval's gaokao-mathqa.jsonl; the hub's copies hold finished prompts, which are not the published ones.
"""

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Question, Row, Rules, Shots, solution_of


def read(row: Row, id: str) -> Question:
    """`options` are texts that begin with their letter, `(A)...`."""
    options = " ".join(str(option).strip() for option in row["options"])
    text = f"{str(row['question']).strip().rstrip(chr(92))}\n从以下选项中选择:    {options}"
    return Question(id, text, row["label"], (row["label"],), solution_of(row))


BENCHMARK = Benchmark(
    name="gaokao_mathqa",
    title="Gaokao MathQA",
    read=read,
    judging="choice",
    rules=Rules(answers.chosen_in_box, answers.claimed, equality.same_last_letter),
    shots=Shots(
        5,
        "问题 {number}.    {question}\n问题 {number}的解析:",
        "   {solution}\n答案是 {answer}",
        "\n\n\n",
        "\n问题 ",
    ),
    published={("base", "cot", 1): 124 / 351},
)
