"""Gaokao MathQA: 351 multiple-choice questions of Chinese college entrance exams.

Zhong et al. 2023, "AGIEval: A Human-Centric Benchmark for Evaluating Foundation Models", arXiv 2304.06364. The file is
AGIEval's gaokao-mathqa.jsonl; the hub's copies hold finished prompts, which are not the published ones.
"""

from dataclasses import replace

from deepseek_math.evaluation.benchmark import Benchmark, Question, Row, Rules, Shots, solution_of
from deepseek_math.evaluation.benchmarks import gaokao_mathcloze
from deepseek_math.evaluation.published import findings

FORM = replace(gaokao_mathcloze.FORM, ask="问题 {number}.    {question}\n问题 {number}的解析:")  # one space more


def read(row: Row, id: str) -> Question:
    """`options` are texts that begin with their letter, `(A)...`.

    Seven of the 351 labels have several letters (`AD`, `A B D`), which the published grader never takes for right.
    """
    listed = [str(option).strip() for option in row["options"]]
    options = {option[1]: option[3:].strip() for option in listed}
    text = f"{str(row['question']).strip().rstrip(chr(92))}\n从以下选项中选择:    {' '.join(listed)}"
    return Question(id, text, row["label"], (row["label"],), solution_of(row), options)


BENCHMARK = Benchmark(
    name="gaokao_mathqa",
    title="Gaokao MathQA",
    language="zh",
    read=read,
    judging="choice",
    rules=Rules(findings.chosen_in_box, findings.claimed_letters, "last letter"),
    shots=Shots(5, FORM),
    published={("base", "cot", 1): 124 / 351},
)
