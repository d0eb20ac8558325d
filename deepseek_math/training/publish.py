"""Puts a grown family where the service finds it: `python -m deepseek_math.training.publish RUN weights/tiny`.

Three checkpoint folders, the RL one as a GGUF file too, the logs and figures beside them. Refuses a family over the
size that a repository should carry.
"""

import argparse
import shutil
from pathlib import Path

from deepseek_math.errors import ServiceError
from deepseek_math.files import replacing_folder
from deepseek_math.training.faults import plainly
from deepseek_math.training.gguf_file import convert

MEMBERS = ("base", "instruct", "rl")
RECORDS = {"pretrain": "pretrain/log.jsonl", "finetune": "finetune/log.jsonl", "grpo": "rl.run/log.jsonl"}
ACCURACY, GGUF = "accuracy.jsonl", "rl.gguf"
WHOLE = {*MEMBERS, GGUF, *(f"{name}.jsonl" for name in RECORDS), ACCURACY, "accuracy.png"}
MOST_BYTES = 40_000_000


def publish(run: Path, weights: Path) -> int:
    """Replaces the family in `weights` by the one in `run`; returns its bytes.

    Raises ServiceError where `weights` is something else than a family, or the new one too large.
    """
    names = {file.name for file in weights.iterdir()} if weights.is_dir() else set[str]()
    if weights.exists() and not {*MEMBERS, GGUF} <= names <= WHOLE:
        raise ServiceError("setting_invalid", f"{weights} is there already and is no family. Name another folder.")
    with replacing_folder(weights) as part:
        for member in MEMBERS:
            shutil.copytree(run / member, part / member)
        convert(run / "rl", part / GGUF)
        for name, log in RECORDS.items():
            if (run / log).exists():
                shutil.copy(run / log, part / f"{name}.jsonl")
        if (run / ACCURACY).exists():
            shutil.copy(run / ACCURACY, part)
        size = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            raise ServiceError(
                "setting_invalid",
                f"The family has {size:,} bytes, over the limit of {MOST_BYTES:,}. It stays in {run}.",
            )
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("weights", type=Path)
    arguments = parser.parse_args()
    print(f"{arguments.weights}: {publish(arguments.run, arguments.weights):,} bytes")


if __name__ == "__main__":
    with plainly():
        main()
