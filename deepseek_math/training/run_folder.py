"""The folder of a training run: what the run may replace, and what it was started with."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepseek_math.errors import ServiceError
from deepseek_math.files import write_whole

BEGUN = "begun.json"


def require_replaceable(out: Path, run: Path) -> None:
    """Raises ServiceError where `out`, which a run replaces, exists and `run` is not the folder of a run."""
    is_run = any((run / name).is_file() for name in (BEGUN, "log.jsonl"))
    if out.exists() and not is_run:
        raise ServiceError("setting_invalid", f"{out} exists and was not made by this training. Name another folder.")


def begin(run: Path, terms: Mapping[str, Any], saved: Path | None) -> None:
    """Writes down what the run starts with, in the first of several processes.

    Raises ServiceError where a state was `saved` by a run that was started with other terms.
    """
    path = run / BEGUN
    terms = json.loads(json.dumps(terms))  # as they are read back: lists for tuples
    if saved is None or not path.exists():
        if os.environ.get("RANK", "0") == "0":
            run.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(terms, indent=1))
        return
    before = json.loads(path.read_text())
    changes = [
        f"{name} {before.get(name)!r}, now {value!r}" for name, value in terms.items() if value != before.get(name)
    ]
    if changes:
        raise ServiceError(
            "setting_invalid",
            f"The run in {run} was started with {'; '.join(changes)}. Name another folder, or remove this run and "
            "its result.",
        )
