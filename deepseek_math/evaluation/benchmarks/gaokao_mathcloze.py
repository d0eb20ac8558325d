"""Gaokao MathCloze: 118 fill-in questions of Chinese college entrance exams, some with several blanks.

Zhong et al. 2023, "AGIEval: A Human-Centric Benchmark for Evaluating Foundation Models", arXiv 2304.06364. The file is
AGIEval's gaokao-mathcloze.jsonl; the hub's copies hold finished prompts, which are not the published ones.
"""

from deepseek_math.answers.extraction import tidy
from deepseek_math.evaluation.benchmark import Benchmark, Question, Row, Rules, Shots, solution_of
from deepseek_math.evaluation.published import findings
from deepseek_math.evaluation.published.normal_form import normal
from deepseek_math.few_shot import Form

FORM = Form(
    "问题 {number}.   {question}\n问题 {number}的解析:",
    "   {solution}",
    "\n答案是 {answer}",
    "\n\n\n",
    "\n问题 ",
)


def read(row: Row, id: str) -> Question:
    """The blanks' answers are separated by semicolons."""
    answer = str(row["answer"]).strip()
    answers = tuple(normal(part) for part in answer.split(";"))
    expected = ";".join(tidy(part) for part in answer.split(";"))
    return Question(id, str(row["question"]).strip(), expected, answers, solution_of(row))


BENCHMARK = Benchmark(
    name="gaokao_mathcloze",
    title="Gaokao MathCloze",
    language="zh",
    read=read,
    judging="ordered",
    rules=Rules(findings.solved_list, findings.claimed, "row"),
    shots=Shots(5, FORM),
    published={("base", "cot", 1): 24 / 118},
)
