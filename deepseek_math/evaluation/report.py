"""A folder of runs compared with the published figures: a table, and a picture."""

from pathlib import Path

from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.results import load
from deepseek_math.evaluation.summary import Grader, Summary, summarise
from deepseek_math.jobs import JobError

COLUMNS = (
    "benchmark",
    "mode",
    "checkpoint",
    "engine",
    "questions",
    "accuracy",
    "95 % interval",
    "other grader",
    "published",
    "reached",
)


def summaries(folder: Path, grader: Grader) -> tuple[list[Summary], list[str]]:
    """Of every run in the folder that has answers, by benchmark, and a sentence on each file that has none.

    Raises EvaluationError where there is no run.
    """
    found: list[Summary] = []
    left_out: list[str] = []
    for file in sorted(folder.glob("*.jsonl")):
        try:
            settings, lines = load(file)
            if lines:
                found.append(summarise(settings, lines, grader))
            else:
                left_out.append(f"{file} has no answers yet.")
        except JobError as error:
            left_out.append(str(error))
        except (KeyError, TypeError) as error:
            left_out.append(f"{file} is not a complete results file ({type(error).__name__}: {error}).")
    if not found:
        raise EvaluationError(" ".join([f"There are no results (*.jsonl) in {folder}.", *left_out]))
    return sorted(found, key=lambda each: (each.benchmark, each.mode, each.samples, each.checkpoint)), left_out


def table(found: list[Summary]) -> str:
    """In Markdown."""
    rows = [_row(COLUMNS), "|---" * len(COLUMNS) + "|"]
    for each in found:
        cells = (
            each.benchmark,
            _mode(each),
            each.checkpoint,
            each.engine,
            str(each.questions) if each.questions == each.asked else f"{each.questions} of {each.asked}",
            f"{each.accuracy:.1%}",
            f"{each.low:.1%} to {each.high:.1%}",
            f"{each.other_correct / each.questions:.1%}",
            "none" if each.figure is None else f"{each.figure:.1%} ({each.figure_of})",
            _reached(each),
        )
        rows.append(_row(cells))
    return "\n".join(rows)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _reached(each: Summary) -> str:
    if each.reached is None:
        return "; ".join(each.differences)
    return "yes" if each.reached else "no"


def _mode(each: Summary) -> str:
    parts: list[str] = [each.mode]
    if each.shots:
        parts.append(f"{each.shots}-shot")
    if each.samples > 1:
        parts.append(f"maj@{each.samples}")
    return " ".join(parts)


def picture(found: list[Summary], file: Path) -> None:
    """One line a run: its accuracy with the interval, and a bar where the published figure is, if it is comparable."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "The picture needs the package matplotlib. Install it with: make setup-evaluate"
        ) from error
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    rows = range(len(found))
    accuracy = [100 * each.accuracy for each in found]
    reach = [
        [100 * (each.accuracy - each.low) for each in found],
        [100 * (each.high - each.accuracy) for each in found],
    ]
    axes.errorbar(accuracy, rows, xerr=reach, fmt="o", capsize=4, label="measured, 95 % interval")
    published = [(100 * each.figure, row) for row, each in enumerate(found) if each.figure and each.comparable]
    if published:
        figures, figure_rows = zip(*published, strict=True)
        axes.scatter(figures, figure_rows, marker="|", s=300, color="C3", label="published")
    axes.set_yticks(rows, [f"{each.benchmark} {_mode(each)}\n{each.checkpoint} (n={each.questions})" for each in found])
    axes.invert_yaxis()
    axes.margins(y=0.4 / len(found))
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"accuracy, % ({found[0].grader} grader)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(file, dpi=150)
