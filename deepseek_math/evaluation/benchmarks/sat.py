"""SAT math: 32 multiple-choice questions of May 2023 that need no figure.

Azerbayev et al. 2023, "Llemma: An Open Language Model For Mathematics", arXiv 2310.10631. The published shots are
Minerva's four, put as choices.
"""

import re

from deepseek_math.evaluation.benchmark import Benchmark, Question, Row, Rules, Shots, solution_of
from deepseek_math.evaluation.published import findings
from deepseek_math.few_shot import Form

CHOICE_SHOTS = Shots(
    4,
    Form(
        "Problem:\n{question}\nSolution:",
        "\n{solution}",
        "\nFinal Answer: The final answer is ({answer}). I hope it is correct.",
        "\n\n",
        "\nProblem:",
    ),
)
ASK = "What of the following is the right choice? Explain your answer."  # as published


def read(row: Row, id: str) -> Question:
    """`options` is one text, `A) ... B) ...` or `A. ... B. ...`. The published prompt has `(A) ... (B) ...` of the
    first and `(A. ... B. ...` of the second."""
    listed = str(row["options"]).strip()
    _, *parts = re.split(r"(?:^|\s)([A-G])[.)]\s", listed)
    options = dict(zip(parts[::2], parts[1::2], strict=True))
    published = "(" + re.sub(r" ([B-G]\) )", r" (\1", listed)
    answer = str(row["Answer"]).strip()
    text = f"{str(row['question']).strip()}\n{ASK}\n{published}"
    return Question(id, text, answer, (answer,), solution_of(row), options)


BENCHMARK = Benchmark(
    name="sat",
    title="SAT",
    language="en",
    read=read,
    judging="choice",
    rules=Rules(findings.chosen_in_box, findings.chosen, "letter"),
    shots=CHOICE_SHOTS,
    published={("base", "cot", 1): 27 / 32},
)
