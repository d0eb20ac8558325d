"""The Python environment that vLLM is installed in: not the service's, for vLLM pins its own torch and transformers."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from deepseek_math.errors import ServiceError
from deepseek_math.terminal import clause

# `device_count` heeds CUDA_VISIBLE_DEVICES, and takes no memory of a GPU.
PROGRAM = """
import importlib.metadata, json, torch
print(json.dumps([importlib.metadata.version("vllm"), torch.cuda.device_count()]))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    python: Path  # the environment's interpreter
    version: str  # of vLLM
    gpus: int  # that it may use


def python_of(folder: Path | None) -> Path:
    """The interpreter of the environment in `folder`: `vllm` in the service's own, unless one is named.

    Raises ServiceError("package_missing").
    """
    found = (folder or Path(sys.prefix, "vllm")) / "bin" / "python"
    if not found.exists():
        raise ServiceError(
            "package_missing",
            f"ENGINE=vllm looks for vLLM in the environment {found.parents[1]}, and there is none. "
            "make image CHECKPOINT=rl ENGINE=vllm makes a container that has it. Elsewhere install it, and name its "
            "environment in VLLM_ENVIRONMENT.",
        )
    return found


async def look(folder: Path | None) -> Installed:
    """What is installed there, and which GPUs it sees. Raises ServiceError("package_missing")."""
    python = python_of(folder)
    process = await asyncio.create_subprocess_exec(python, "-c", PROGRAM, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    said, complaint = await process.communicate()
    try:
        version, gpus = json.loads(said.splitlines()[-1])  # a package may say something of its own before it
    except (ValueError, IndexError) as error:
        last = clause(complaint.decode(errors="replace").strip().rpartition("\n")[2])
        raise ServiceError("package_missing", f"vLLM can't be used with {python}: {last}.") from error
    return Installed(python, str(version), int(gpus))
