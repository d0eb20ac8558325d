"""OCW Courses: 272 undergraduate questions of MIT OpenCourseWare; the answer is a number, an equation or a formula.

Lewkowycz et al. 2022, "Solving Quantitative Reasoning Problems with Language Models", arXiv 2206.14858.
"""

from deepseek_math.answers.extraction import tidy
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots
from deepseek_math.evaluation.published import findings
from deepseek_math.few_shot import Form


def read(row: Row, id: str) -> Question:
    """The published grader takes the answer as it stands: one ends with a newline."""
    answer = str(row["answer"])
    return Question(id, str(row["problem"]).strip(), tidy(answer), (answer,), str(row["solution"]).strip())


BENCHMARK = Benchmark(
    name="ocw",
    title="OCW Courses",
    language="en",
    read=read,
    judging="expression",
    rules=Rules(findings.solved_once, findings.hoped, "ocw"),
    shots=Shots(
        4,
        Form(
            "Problem:\n{question}\nSolution:",
            "\n{solution}",
            "\nFinal answer: The final answer is {answer}. I hope it is correct.",
            "\n\n",
            "\nProblem:",
        ),
    ),
    published={("base", "cot", 1): 42 / 272},
    hub=Hub("open-web-math/ocwcourses", "default", "test"),
)
