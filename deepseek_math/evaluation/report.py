"""A folder of runs against the published figures: a table, and a picture."""

from pathlib import Path

from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.results import load
from deepseek_math.evaluation.summary import Grader, Summary, summarise


def summaries(folder: Path, grader: Grader) -> tuple[list[Summary], list[str]]:
    """Of every run in the folder that has answers, by benchmark, and a sentence on each file that has none.

    Raises EvaluationError where there is no run.
    """
    found, left_out = [], []
    for file in sorted(folder.glob("*.jsonl")):
        try:
            settings, lines = load(file)
            if lines:
                found.append(summarise(settings, lines, grader))
            else:
                left_out.append(f"{file} has no answer yet.")
        except EvaluationError as error:
            left_out.append(str(error))
        except (KeyError, TypeError) as error:
            left_out.append(f"{file} is no whole results file ({type(error).__name__}: {error}).")
    if not found:
        raise EvaluationError(" ".join([f"{folder} holds no results (*.jsonl).", *left_out]))
    return sorted(found, key=lambda each: (each.benchmark, each.mode, each.samples, each.checkpoint)), left_out


def table(found: list[Summary]) -> str:
    """In Markdown."""
    rows = [
        "| benchmark | mode | checkpoint | engine | questions | accuracy | 95 % interval | other grader | published | "
        "reached |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        other = each.published_correct if each.grader == "strict" else each.strict_correct
        figure = "none" if each.figure is None else f"{each.figure:.1%} ({each.figure_of})"
        reached = {None: "; ".join(each.differences), True: "yes", False: "no"}[each.reached]
        questions = f"{each.questions}" if each.questions == each.asked else f"{each.questions} of {each.asked}"
        rows.append(
            f"| {each.benchmark} | {_mode(each)} | {each.checkpoint} | {each.engine} | {questions} | "
            f"{each.accuracy:.1%} | {each.low:.1%} to {each.high:.1%} | {other / each.questions:.1%} | {figure} | "
            f"{reached} |"
        )
    return "\n".join(rows)


def picture(found: list[Summary], file: Path) -> None:
    """One line a run: its accuracy with the interval, and a bar where the published figure is, if it is comparable."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "The picture needs the package matplotlib. Install it: .venv/bin/python -m pip install -r "
            "requirements-evaluate.txt"
        ) from error
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(found))
    accuracy = [100 * each.accuracy for each in found]
    reach = [
        [100 * (each.accuracy - each.low) for each in found],
        [100 * (each.high - each.accuracy) for each in found],
    ]
    axes.errorbar(accuracy, places, xerr=reach, fmt="o", capsize=4, label="measured, 95 % interval")
    known = [(100 * each.figure, place) for place, each in enumerate(found) if each.figure and each.comparable]
    if known:
        figures, rows = zip(*known, strict=True)
        axes.scatter(figures, rows, marker="|", s=300, color="C3", label="published")
    axes.set_yticks(
        places, [f"{each.benchmark} {_mode(each)}\n{each.checkpoint} (n={each.questions})" for each in found]
    )
    axes.invert_yaxis()
    axes.margins(y=0.4 / len(found))
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"accuracy, % ({found[0].grader} grader)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(file, dpi=150)


def _mode(each: Summary) -> str:
    parts = [each.mode] + [f"{each.shots}-shot"] * bool(each.shots) + [f"maj@{each.samples}"] * (each.samples > 1)
    return " ".join(parts)
