"""What a training run may replace, and what it was begun with."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepseek_math.errors import ServiceError
from deepseek_math.files import write_whole

BEGUN = "begun.json"


def claim(out: Path, run: Path) -> None:
    """Raises ServiceError where `out`, which a run replaces, is there and the folder `run` shows none."""
    if out.exists() and not any((run / name).is_file() for name in (BEGUN, "log.jsonl")):
        raise ServiceError(
            "setting_invalid", f"{out} is there already, and no run of this training has made it. Name another folder."
        )


def begin(run: Path, terms: Mapping[str, Any], saved: Path | None) -> None:
    """Keeps what the run was begun with, if this is the first of several processes.

    Raises ServiceError where a state was `saved` by a start with other terms.
    """
    path, terms = run / BEGUN, json.loads(json.dumps(terms))
    if saved is None or not path.exists():
        if os.environ.get("RANK", "0") == "0":
            run.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(terms, indent=1))
        return
    before = json.loads(path.read_text())
    if changed := [name for name in terms if terms[name] != before.get(name)]:
        told = "; ".join(f"{name} {before.get(name)!r}, now {terms[name]!r}" for name in changed)
        raise ServiceError(
            "setting_invalid",
            f"The run in {run} was begun with {told}. Name another folder, or remove it and what came of it.",
        )
