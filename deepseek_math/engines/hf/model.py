"""The weights of the transformers engine: where they go, in which dtype, and which attention reads their cache."""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

logger = logging.getLogger(__name__)


def load_model(path: Path, dtype: str | None, device_map: str | None = None) -> Any:
    """The model on the GPU in the checkpoint's own dtype or on the CPU in float32, as `dtype` has it otherwise.

    Each tensor goes from its file straight to its device: host memory holds a few at a time.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # float32 on a CPU: in bfloat16 the rounding depends on the batch's shape, so neighbours would change the text.
    name = dtype or ("float32" if device == "cpu" else "auto")
    own = transformers.AutoConfig.from_pretrained(path, local_files_only=True).dtype
    kernel = attention(device, own if name == "auto" else getattr(torch, name))
    return transformers.AutoModelForCausalLM.from_pretrained(
        path, local_files_only=True, dtype=name, device_map=device_map or device, attn_implementation=kernel
    )


def attention(device: str, dtype: torch.dtype | None) -> str:
    """The fastest attention that is installed; nothing is fetched."""
    if device == "cpu":
        return "sdpa"
    if dtype in (torch.bfloat16, torch.float16) and is_flash_attn_3_available():
        return "flash_attention_3"
    if dtype in (torch.bfloat16, torch.float16) and is_flash_attn_2_available():
        return "flash_attention_2"
    logger.warning("No flash attention for this GPU and dtype: many streams at once will be SLOW. Install flash_attn.")
    return "sdpa"
