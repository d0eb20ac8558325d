r"""The process that compares answers: `python -P -m deepseek_math.answers.worker`, one JSON a line.

    {"a": "\\frac{1}{2}", "b": "0.5"}  ->  {"equal": true, "reason": "", "retire": false}

It may hang, crash or eat its memory: judging.py kills it. By itself it ends when its input is closed, and the
kernel ends it (SIGALRM) soon after a comparison's time is up, so no worker outlives its parent, busy or idle.
"""

import json
import os
import resource
import signal
import sys

import psutil

from deepseek_math.answers.equality import equivalent

MEMORY = 2 * 2**30  # bytes of address space
RETIRE = 512 * 2**20  # bytes of resident memory after which a worker asks to be replaced
ALARM = 4.0  # seconds after which the kernel ends a comparison whose parent has not
RECURSION = 20_000  # calls: a sum of a thousand terms is a tree of that depth


def compare(a: str, b: str) -> tuple[bool, str]:
    """Whether two answers are equal, and why they could not be compared if so."""
    try:
        return equivalent(a, b), ""
    except RecursionError:
        return False, "nested too deeply"
    except MemoryError:
        os._exit(1)  # what is left of the process is not to be trusted
    except Exception as error:
        return False, f"{type(error).__name__}: {str(error)[:200]}"


def main() -> None:
    """Answers comparisons until the input ends. The first line says whether algebra works here at all."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(RECURSION)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a print in a library is no answer
    works = compare(r"\frac{\sqrt{8}}{2}", r"\sqrt 2")
    print(json.dumps({"ready": works[0], "reason": works[1]}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, ALARM)
        equal, reason = compare(question["a"], question["b"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        # NOTE: not ru_maxrss, which begins with the memory of the process that started this one.
        retire = psutil.Process().memory_info().rss > RETIRE
        print(json.dumps({"equal": equal, "reason": reason, "retire": retire}), file=answers, flush=True)


if __name__ == "__main__":
    main()
