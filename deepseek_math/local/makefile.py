"""What was meant by words behind `make` that mean nothing there. The Makefile calls it before anything runs.

`python -m deepseek_math.local.makefile "predict SAMPLES= prompt=" "prompt="` gets all words and those that mean
nothing, and prints a sentence or two. It needs no package: the environment may not be made yet.
"""

import difflib
import re
import sys
from collections.abc import Mapping, Sequence

from deepseek_math.cli import COMMANDS
from deepseek_math.inputs import BY_NAME
from deepseek_math.paths import ROOT

EXAMPLE = "What is 12 + 30?"
OTHER_GOALS = {  # what other projects call them
    "all": "help",
    "build": "image",
    "demo": "predict",
    "deps": "setup",
    "download": "fetch",
    "install": "setup",
    "run": "predict",
    "start": "serve",
    "server": "serve",
    "models": "checkpoints",
    "tests": "test",
    "typecheck": "types",
    "venv": "setup",
}
OTHER_VARIABLES = {"MODEL": "CHECKPOINT", "WEIGHTS": "CHECKPOINT", "N": "SAMPLES", "VOTES": "SAMPLES"}
QUESTION_NAMES = ("prompt", "question", "problem", "text", "q")


def advice(words: Sequence[str], strange: Sequence[str]) -> str:
    """What to say of the `strange` ones of `words`: goals, and variables with an equals sign at their end."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    takes = {goal: names.split() for goal, names in re.findall(r"^takes\.([a-z-]+) := (.*)$", text, re.MULTILINE)}
    given = [word for word in words if not word.endswith("=")]
    unknown = [word for word in strange if not word.endswith("=")]
    if len(unknown) > 1 or any(not re.fullmatch("[a-z-]+", word) for word in unknown):
        whole = len(given) == len(words)  # else a part may have gone into a variable
        return _question(" ".join(unknown) if whole else EXAMPLE)
    if unknown:
        return _about_goal(unknown[0], goals)
    return " ".join(_about_variable(word.removesuffix("="), given, takes) for word in strange)


def _about_goal(goal: str, goals: Sequence[str]) -> str:
    said = f"make has no goal {goal}."
    if goal in COMMANDS or goal in ("train", "evaluate"):
        return f"{said} It is a command: .venv/bin/dsm {goal} --help"
    near = difflib.get_close_matches(goal, goals, 1)
    meant = OTHER_GOALS.get(goal) or (near[0] if near else None)
    hint = f"Did you mean make {meant}?" if meant else _question(EXAMPLE)
    return f"{said} `make` lists all. {hint}"


def _question(text: str) -> str:
    shown = EXAMPLE if re.search(r'["$`\\]', text) else text
    return f'A question goes into PROMPT, in quotes: make predict PROMPT="{shown}"'


def _about_variable(name: str, goals: Sequence[str], takes: Mapping[str, Sequence[str]]) -> str:
    """One sentence of a variable that none of the goals takes."""
    goal = goals[0] if goals else "help"
    own = [variable for each in goals for variable in takes.get(each, ())]
    if name.upper() in own and name.lower() not in QUESTION_NAMES:
        return f"{name}= means nothing. Write it so: make {goal} {name.upper()}=..."
    if name.lower() in QUESTION_NAMES and name != "PROMPT":
        return f"{name}= means nothing. {_question(EXAMPLE)}"
    takers = [each for each, variables in takes.items() if name in variables]
    if takers:
        return f"make {goal} takes no {name}, but make {takers[0]} does."
    return f"{name}= means nothing to make {goal}. {_nearest(name, goal, own)}"


def _nearest(name: str, goal: str, own: Sequence[str]) -> str:
    if not re.fullmatch(r"\w+", name):  # a question with an equals sign in it
        return _question(EXAMPLE)
    near = [OTHER_VARIABLES.get(name.upper(), ""), *difflib.get_close_matches(name.upper(), own, 1)]
    for meant in near:
        if meant in own:
            return f"Did you mean {meant}=?"
    inputs = [name.lower()] if name.lower() in BY_NAME else difflib.get_close_matches(name.lower(), BY_NAME, 1)
    if inputs:
        call = goal if "INPUTS" in own and "PROMPT" not in own else f'predict PROMPT="{EXAMPLE}"'
        return f'Write it so: make {call} INPUTS="{inputs[0]}=..."'
    return "docs/settings.md has all variables, docs/inputs.md all inputs."


if __name__ == "__main__":
    said = advice(sys.argv[1].split(), sys.argv[2].split())
    print(re.sub(r"(?<!\.)\.$", "", said))  # make puts a full stop behind it
