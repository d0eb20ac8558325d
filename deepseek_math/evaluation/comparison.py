"""Two runs question by question: what one gets right and the other does not, and whether that could be chance."""

from math import comb
from pathlib import Path
from typing import Any

from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.results import load
from deepseek_math.evaluation.summary import KEY, Grader
from deepseek_math.jobs.journal import Line

MEANING = {"digest": "digest of questions, shots and answers", "source": "where the questions came from"}
SIGNIFICANT = 0.05  # McNemar's p below which the runs are said to differ
IDS_SHOWN = 10


def compare(first: Path, second: Path, grader: Grader) -> dict[str, Any]:
    """Counts and ids over the questions that both runs answered. Raises EvaluationError where there are none."""
    settings, lines = load(first)
    other_settings, other_lines = load(second)
    if settings["benchmark"] != other_settings["benchmark"]:
        raise EvaluationError(
            f"{first} is a run of {settings['benchmark']} and {second} one of {other_settings['benchmark']}. "
            "Only runs of the same benchmark can be compared."
        )
    pairs = _pairs(lines, other_lines)
    if not pairs:
        raise EvaluationError(f"{first} and {second} have no question in common.")
    for before, after in pairs:
        if before["expected"] != after["expected"]:
            raise EvaluationError(f"{before['id']} has another answer in {second}. The questions are not the same.")
    key = KEY[grader]
    gains = [after["id"] for before, after in pairs if after[key] and not before[key]]
    losses = [before["id"] for before, after in pairs if before[key] and not after[key]]
    names = [*settings, *(name for name in other_settings if name not in settings)]
    return {
        "benchmark": settings["benchmark"],
        "questions": len(pairs),
        "grader": grader,
        "accuracy": [
            sum(before[key] for before, _ in pairs) / len(pairs),
            sum(after[key] for _, after in pairs) / len(pairs),
        ],
        "gains": gains,
        "losses": losses,
        "p": mcnemar(len(gains), len(losses)),
        "settings": {
            name: [settings.get(name), other_settings.get(name)]
            for name in names
            if settings.get(name) != other_settings.get(name)
        },
        "alone": [len(lines) - len(pairs), len(other_lines) - len(pairs)],
    }


def _pairs(lines: list[Line], other_lines: list[Line]) -> list[tuple[Line, Line]]:
    """Both runs' lines of each question that both answered, in the second run's order."""
    by_id = {line["id"]: line for line in lines}
    return [(by_id[line["id"]], line) for line in other_lines if line["id"] in by_id]


def mcnemar(gains: int, losses: int) -> float:
    """The exact two-sided p of McNemar's test (1947, Psychometrika 12:153): how often chance alone would split the
    questions that changed at least so unevenly. 1 where none changed."""
    changed = gains + losses
    tail = sum(comb(changed, count) for count in range(min(gains, losses) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def text(found: dict[str, Any], first: Path, second: Path) -> str:
    """For people, a few lines."""
    before, after = found["accuracy"]
    rows = [
        f"{found['benchmark']}, {found['questions']} questions in both, {found['grader']} grader",
        f"  {first}: {before:.1%}",
        f"  {second}: {after:.1%}",
    ]
    for name, (one, other) in found["settings"].items():
        rows.append(f"  they differ in {MEANING.get(name, name)}: {one} / {other}")
    alone, other_alone = found["alone"]
    if alone or other_alone:
        rows.append(f"  left out, in one of them alone: {alone} / {other_alone}")
    rows.append(f"  gained {_count_and_ids(found['gains'])}")
    rows.append(f"  lost   {_count_and_ids(found['losses'])}")
    verdict = "the runs differ" if found["p"] < SIGNIFICANT else "chance alone could do that"
    rows.append(f"  McNemar's p {found['p']:.4f}: {verdict}")
    return "\n".join(rows)


def _count_and_ids(ids: list[str]) -> str:
    if not ids:
        return "0"
    shown = ", ".join(ids[:IDS_SHOWN])
    more = ", ..." if len(ids) > IDS_SHOWN else ""
    return f"{len(ids)}: {shown}{more}"
