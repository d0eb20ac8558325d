r"""MATH: 5000 competition problems in English; the answer is what the solution boxes.

Hendrycks et al. 2021, "Measuring Mathematical Problem Solving With the MATH Dataset", arXiv 2103.03874. The 4 published
shots are Minerva's (Lewkowycz et al. 2022, arXiv 2206.14858); ours come from the training split.
"""

from deepseek_math.answers.extraction import extract
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots
from deepseek_math.evaluation.published import findings
from deepseek_math.few_shot import Form


def read(row: Row, id: str) -> Question:
    problem, solution = row["problem"], row["solution"]
    answers = findings.solved_list(problem, solution)
    return Question(id, problem, extract(solution).text or "", tuple(answers), solution)


BENCHMARK = Benchmark(
    name="math",
    title="MATH",
    language="en",
    read=read,
    judging="expression",
    rules=Rules(findings.solved_list, findings.solved_list_after_shots, "list"),
    shots=Shots(
        4,
        Form(
            "Problem:\n{question}\n\nSolution:",
            "\n{solution}",
            "\nFinal Answer: The final answer is ${answer}$. I hope it is correct.",
            "\n\n",
            "\nProblem:",
        ),
    ),
    published={
        ("base", "cot", 1): 1809 / 5000,
        ("instruct", "cot", 1): 2341 / 5000,
        ("instruct", "tool", 1): 2875 / 5000,
        ("rl", "cot", 1): 2585 / 5000,
        ("rl", "cot", 64): 0.609,  # majority of 64; arXiv 2402.03300, abstract
        ("rl", "tool", 1): 2939 / 5000,
    },
    hub=Hub("DigitalLearningGmbH/MATH-lighteval", "default", "test", "train"),
)
