"""What vLLM is told: what the service must say, and behind it VLLM_ARGS, where the last word counts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseek_math.engines.vllm.environment import Installed
from deepseek_math.errors import ServiceError

# Options that can't stand in VLLM_ARGS, and what to do instead.
OURS = {
    "--model": "Set CHECKPOINT.",
    "--served-model-name": "The service alone speaks to this vLLM.",
    "--max-model-len": "Set CONTEXT.",
    "--max-num-seqs": "Set SLOTS.",
    "--dtype": "Set DTYPE.",
    "--host": "The service alone speaks to this vLLM.",
    "--port": "The service alone speaks to this vLLM.",
    "--uds": "The service alone speaks to this vLLM.",
    "--api-key": "The service alone speaks to this vLLM.",
}
OWN = ("PYTHONPATH", "VLLM_ARGS", "VLLM_ENVIRONMENT")  # variables of the service, which mean nothing to vLLM
TENSOR_PARALLEL = ("--tensor-parallel-size", "-tp")


def require_free(arguments: Sequence[str]) -> None:
    """Raises ServiceError where VLLM_ARGS says what is the service's to say."""
    for name in _names(arguments):
        if name in OURS:
            raise ServiceError("setting_invalid", f"VLLM_ARGS can't hold {name}. {OURS[name]}")


def tensor_parallel(gpus: int, config: Mapping[str, Any]) -> int:
    """How many of the GPUs to spread a model over: as many as divide its heads, and its KV heads or are a multiple of
    them, as vLLM wants it. `config` is the checkpoint's config.json."""
    heads = int(config["num_attention_heads"])
    shared = int(config.get("num_key_value_heads") or heads)
    for count in range(gpus, 1, -1):
        if heads % count == 0 and (shared % count == 0 or count % shared == 0):
            return count
    return 1


def command(
    installed: Installed,
    model: Path,
    socket: Path,
    *,
    context: int,
    slots: int,
    dtype: str,
    spread: int,
    arguments: Sequence[str],
) -> list[str]:
    """`spread` is the number of GPUs, unless `arguments` (VLLM_ARGS) name one."""
    named = set(_names(arguments)) & set(TENSOR_PARALLEL)
    return [
        *(str(installed.python), "-m", "vllm.entrypoints.cli.main", "serve", str(model)),
        *("--served-model-name", model.name, "--uds", str(socket)),
        *("--max-model-len", str(context), "--max-num-seqs", str(slots), "--dtype", dtype),
        *([] if named else ["--tensor-parallel-size", str(spread)]),
        *("--enable-prefix-caching", "--disable-uvicorn-access-log"),  # which has a line for each look at its health
        *arguments,
    ]


def environment(installed: Installed, spare: Path) -> dict[str, str]:
    """What it runs in: no usage statistics, no hub, its own packages and programs. `spare` is its home where the user's
    can't be written to: vLLM and what it compiles with keep caches there, and name them after the user."""
    home = os.path.expanduser("~")
    inherited = {name: value for name, value in os.environ.items() if name not in OWN}
    return inherited | {
        "PATH": os.pathsep.join([str(installed.python.parent), os.environ.get("PATH", os.defpath)]),
        "HOME": home if os.access(home, os.W_OK) else str(spare),
        "USER": os.environ.get("USER") or "service",  # a container's user may have no name
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _names(arguments: Sequence[str]) -> list[str]:
    """The options among them; vLLM takes them with underscores too, and a value behind an equals sign."""
    return [each.partition("=")[0].replace("_", "-") for each in arguments if each.startswith("-")]
