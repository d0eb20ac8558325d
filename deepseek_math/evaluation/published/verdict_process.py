"""The process that compares answers by the published rules: `python -P -m ...verdict_process SECONDS`, one JSON a line.

    {"rule": "one", "found": ["0.5"], "expected": ["50"]}  ->  {"same": true, "retire": false}

The kernel ends it (SIGALRM) when a verdict takes longer than SECONDS. It ends by itself when its input is closed.
"""

import json
import os
import resource
import signal
import sys

import psutil

from deepseek_math.evaluation.published import ocw_equality, published_equality

MEMORY = 2 * 2**30  # bytes of address space
RETIRE = 512 * 2**20  # bytes of resident memory after which it asks to be replaced
RULES = {
    "one": published_equality.same_one,
    "list": published_equality.same_list,
    "row": published_equality.same_row,
    "letter": published_equality.same_letter,
    "last letter": published_equality.same_last_letter,
    "ocw": ocw_equality.same_ocw,
}


def main() -> None:
    seconds = float(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)  # what a library prints is no answer
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        same = RULES[question["rule"]](question["found"], question["expected"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        # NOTE: not ru_maxrss, which begins with the memory of the process that started this one.
        retire = psutil.Process().memory_info().rss > RETIRE
        print(json.dumps({"same": bool(same), "retire": retire}), file=answers, flush=True)


if __name__ == "__main__":
    main()
