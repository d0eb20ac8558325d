"""The check that every generated problem has to pass before it is used."""

import io
from contextlib import redirect_stdout

from deepseek_math.training.equations import Wrong, chains, equations, evaluate
from deepseek_math.training.problem import Problem


def check(problem: Problem) -> int:
    """The number of equations in the steps. All of them are true, and the last one ends in the answer.

    Raises Wrong for a false equation, for steps that end in another value, or for a program that prints another answer.
    """
    count = equations(problem.steps, problem.names)
    found = list(chains(problem.steps))
    if not found:
        raise Wrong(f"no step in {problem.steps!r}")
    answer = problem.answer.subs("x", problem.names.get("x", 0))
    if evaluate(found[-1][-1], problem.names) != answer:
        raise Wrong(f"{problem.steps!r} does not end in {problem.answer}")
    output = printed(problem.program)
    if output != problem.output:
        raise Wrong(f"{problem.program!r} prints {output!r}, not {problem.output!r}")
    return count


def printed(program: str) -> str:
    """What a program prints. Only for the generator's own programs: a model's programs run in the sandbox."""
    output = io.StringIO()
    with redirect_stdout(output):
        exec(program, {})
    return output.getvalue().rstrip("\n")
