"""OCW Courses: 272 undergraduate questions of MIT OpenCourseWare; the answer is a number, an equation or a formula.

Lewkowycz et al. 2022, "Solving Quantitative Reasoning Problems with Language Models", arXiv 2206.14858.
"""

from deepseek_math.evaluation import published_answers as answers
from deepseek_math.evaluation import published_equality as equality
from deepseek_math.evaluation.benchmark import Benchmark, Hub, Question, Row, Rules, Shots


def read(row: Row, id: str) -> Question:
    answer = str(row["answer"]).strip()
    return Question(id, str(row["problem"]).strip(), answer, (answer,), str(row["solution"]).strip())


BENCHMARK = Benchmark(
    name="ocw",
    title="OCW Courses",
    read=read,
    judging="expression",
    rules=Rules(answers.solved_once, answers.hoped, equality.same_ocw),
    shots=Shots(
        4,
        "Problem:\n{question}\nSolution:",
        "\n{solution}\nFinal answer: The final answer is {answer}. I hope it is correct.",
        "\n\n",
        "\nProblem:",
    ),
    published={("base", "cot", 1): 42 / 272},
    hub=Hub("open-web-math/ocwcourses", "default", "test"),
)
