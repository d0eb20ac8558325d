"""How the transformers engine loads weights: onto which device, in which dtype, with which attention."""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from deepseek_math.engines.weight_files import weight_bytes

logger = logging.getLogger(__name__)

# By how the library builds its batches: with sdpa all streams are one sequence behind a mask (docs/performance.md).
COST = (
    "Without it each stream's attention goes through the KV cache of all streams, 64 times as much with 64 streams, "
    "and there are no CUDA graphs: one stream is a little slower, many are SLOW."
)


def load_model(path: Path, dtype: str | None, device_map: str | None = None) -> Any:
    """The model on the GPU in the checkpoint's own dtype, or on the CPU in float32; in `dtype` where it is given.

    Each tensor goes from its file straight to its device, so host memory holds a few at a time.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # float32 on a CPU: in bfloat16 the rounding depends on the batch's shape, so neighbours would change the text.
    default = "float32" if device == "cpu" else "auto"
    name = dtype or default
    actual = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False).dtype
    if name != "auto":
        actual = getattr(torch, name)
    return transformers.AutoModelForCausalLM.from_pretrained(
        path,
        local_files_only=True,
        trust_remote_code=False,
        dtype=name,
        device_map=device_map or device,
        attn_implementation=attention(device, actual),
    )


def cpu_bytes(path: Path, dtype: str | None) -> float:
    """What the weights will take of the machine's memory; 0 on a GPU, whose own memory says when it is full."""
    if torch.cuda.is_available():
        return 0
    stored = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False).dtype
    loaded = getattr(torch, dtype or "float32")
    return weight_bytes(path) * float(loaded.itemsize) / float((stored or loaded).itemsize)


def attention(device: str, dtype: torch.dtype | None) -> str:
    """The fastest attention that is installed. Nothing is downloaded."""
    if device == "cpu":
        return "sdpa"
    if dtype not in (torch.bfloat16, torch.float16):
        lack = f"it has none for {str(dtype).removeprefix('torch.')}. Set DTYPE=bfloat16"
    elif is_flash_attn_3_available():
        return "flash_attention_3"
    elif is_flash_attn_2_available():
        return "flash_attention_2"
    else:
        lack = "the package flash_attn is not installed. docs/performance.md says where wheels of it are"
    logger.warning("NO FLASH ATTENTION on this GPU: %s. %s", lack, COST)
    return "sdpa"
