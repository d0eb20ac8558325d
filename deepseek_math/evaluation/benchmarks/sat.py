"""SAT math: 32 multiple-choice questions of May 2023 that need no figure.

Azerbayev et al. 2023, "Llemma: An Open Language Model For Mathematics", arXiv 2310.10631. The published shots are
Minerva's four, put as choices.
"""

import re

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Question, Row, Rules, Shots, solution_of

CHOICE_SHOTS = Shots(
    4,
    "Problem:\n{question}\nSolution:",
    "\n{solution}\nFinal Answer: The final answer is ({answer}). I hope it is correct.",
    "\n\n",
    "\nProblem:",
)
ASK = "What of the following is the right choice? Explain your answer."  # as published


def read(row: Row, id: str) -> Question:
    """`options` is one text, `A) ... B) ...`; the published prompt has `(A) ... (B) ...`."""
    options = re.sub(r"(^| )([A-G]\) )", r"\1(\2", row["options"])
    answer = str(row["Answer"]).strip()
    text = f"{str(row['question']).strip()}\n{ASK}\n{options.strip()}"
    return Question(id, text, answer, (answer,), solution_of(row))


BENCHMARK = Benchmark(
    name="sat",
    title="SAT",
    read=read,
    judging="choice",
    rules=Rules(answers.chosen_in_box, answers.chosen, equality.same_letter),
    shots=CHOICE_SHOTS,
    published={("base", "cot", 1): 27 / 32},
)
