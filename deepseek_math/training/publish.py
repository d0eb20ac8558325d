"""Puts the trained tiny family where the service finds it, as `dsm train publish RUN weights/tiny` does.

That is three checkpoint folders, the RL one also as a GGUF file, with the logs and the measured accuracy. A family that
is too large for a git repository is refused.
"""

import shutil
from pathlib import Path

from deepseek_math.errors import ServiceError
from deepseek_math.files import replacing_folder
from deepseek_math.training.gguf_file import convert

MEMBERS = ("base", "instruct", "rl")
RECORDS = {"pretrain": "pretrain/log.jsonl", "finetune": "finetune/log.jsonl", "grpo": "rl.run/log.jsonl"}
ACCURACY, GGUF = "accuracy.jsonl", "rl.gguf"
REQUIRED = {*MEMBERS, GGUF}
ALLOWED = REQUIRED | {f"{name}.jsonl" for name in RECORDS} | {ACCURACY, "accuracy.png"}
MOST_BYTES = 40_000_000


def publish(run: Path, weights: Path) -> int:
    """Replaces the family in `weights` by the one in `run`; returns its bytes.

    Raises ServiceError where `weights` holds something else than a family, or where the new one is too large.
    """
    if weights.exists() and not _is_family(weights):
        raise ServiceError("setting_invalid", f"{weights} exists and is not a tiny family. Name another folder.")
    with replacing_folder(weights) as part:
        _copy(run, part)
        size = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            raise ServiceError(
                "setting_invalid",
                f"The family has {size:,} bytes, over the limit of {MOST_BYTES:,}. It stays in {run}.",
            )
    return size


def _copy(run: Path, family: Path) -> None:
    for member in MEMBERS:
        shutil.copytree(run / member, family / member)
    convert(run / "rl", family / GGUF)
    for name, log in RECORDS.items():
        if (run / log).exists():
            shutil.copy(run / log, family / f"{name}.jsonl")
    if (run / ACCURACY).exists():
        shutil.copy(run / ACCURACY, family)


def _is_family(folder: Path) -> bool:
    names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    return names >= REQUIRED and names <= ALLOWED
