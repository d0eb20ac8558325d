"""Two runs question by question: what one gets right and the other does not, and whether that could be chance."""

from math import comb
from pathlib import Path
from typing import Any

from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.results import load
from deepseek_math.evaluation.summary import KEY, Grader

MEANING = {"digest": "digest of questions, shots and answers", "source": "where the questions came from"}


def compare(first: Path, second: Path, grader: Grader) -> dict[str, Any]:
    """Counts and ids over the questions that both runs answered. Raises EvaluationError where these are none."""
    a, a_lines = load(first)
    b, b_lines = load(second)
    if a["benchmark"] != b["benchmark"]:
        raise EvaluationError(f"{first} is of {a['benchmark']} and {second} of {b['benchmark']}: nothing to compare.")
    before = {line["id"]: line for line in a_lines}
    pairs = [(before[line["id"]], line) for line in b_lines if line["id"] in before]
    if differs := [one["id"] for one, other in pairs if one["expected"] != other["expected"]]:
        raise EvaluationError(f"{differs[0]} expects another answer in {second}: these are not the same questions.")
    if not pairs:
        raise EvaluationError(f"{first} and {second} have no question in common.")
    key = KEY[grader]
    gains = [one["id"] for one, other in pairs if other[key] and not one[key]]
    losses = [one["id"] for one, other in pairs if one[key] and not other[key]]
    return {
        "benchmark": a["benchmark"],
        "questions": len(pairs),
        "grader": grader,
        "accuracy": [
            sum(one[key] for one, _ in pairs) / len(pairs),
            sum(other[key] for _, other in pairs) / len(pairs),
        ],
        "gains": gains,
        "losses": losses,
        "p": mcnemar(len(gains), len(losses)),
        "settings": {name: [a.get(name), b.get(name)] for name in {**a, **b} if a.get(name) != b.get(name)},
        "alone": [len(a_lines) - len(pairs), len(b_lines) - len(pairs)],
    }


def mcnemar(gains: int, losses: int) -> float:
    """The exact two-sided p of McNemar's test (1947, Psychometrika 12:153): how often chance alone would part the
    questions that changed at least so unevenly. 1 where none changed."""
    changed = gains + losses
    tail = sum(comb(changed, count) for count in range(min(gains, losses) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def text(found: dict[str, Any], first: Path, second: Path) -> str:
    """For people."""
    before, after = found["accuracy"]
    settings, (alone, too) = found["settings"], found["alone"]
    rows = [
        f"{found['benchmark']}, {found['questions']} questions in both, {found['grader']} grader",
        f"  {first}: {before:.1%}",
        f"  {second}: {after:.1%}",
        *(f"  they differ in {MEANING.get(name, name)}: {one} / {other}" for name, (one, other) in settings.items()),
        *([f"  left out, in one of them alone: {alone} / {too}"] if alone or too else []),
        f"  gained {len(found['gains'])}{_some(found['gains'])}",
        f"  lost   {len(found['losses'])}{_some(found['losses'])}",
        f"  McNemar's p {found['p']:.4f}: "
        + ("the runs differ" if found["p"] < 0.05 else "chance alone could do that"),
    ]
    return "\n".join(rows)


def _some(ids: list[str], most: int = 10) -> str:
    return (": " + ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")) if ids else ""
