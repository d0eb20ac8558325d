"""The KV cache of the transformers engine: how many pages there are, and how many requests they are enough for."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from transformers import ContinuousBatchingConfig

from deepseek_math.engines.memory import CPU_SHARE, free_bytes, gib, too_large
from deepseek_math.gate import Gate

GPU_SHARE = 0.85  # of the GPU's memory that is free once the weights are loaded, for the KV cache
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 256, 1024  # a longer prompt is read in pieces, so that others don't wait for it
CPU_PAGE, GPU_PAGE = 16, 256  # tokens; flash attention 2 wants multiples of 256
DISCARDED_PAGES = 2  # that the library takes beside `num_blocks`
CPU_SLOTS, GPU_SLOTS = 16, 64  # the most where SLOTS is unset; 64 is what Cog takes at once
USUAL_TOKENS = 1280  # of a request: a question, and 1024 new tokens by default


@dataclass(frozen=True, slots=True)
class CachePlan:
    """The library's configuration, and the gate that keeps requests within it."""

    config: ContinuousBatchingConfig
    gate: Gate
    cache: str  # for people


def plan_cache(model: Any, context: int, slots: int | None) -> CachePlan:
    """Sizes the cache for `slots` requests of `context` tokens, or for fewer where memory is short.

    The gate counts in pages, as the library does, and admits only what fits, so that the library's scheduler never has
    to take cache from a request. Raises ServiceError("memory_exceeded").
    """
    gpu = model.device.type == "cuda"
    page, batch = (GPU_PAGE, GPU_BATCH_TOKENS) if gpu else (CPU_PAGE, CPU_BATCH_TOKENS)
    stored, beside = bytes_per_token(model.config, model.dtype.itemsize, batch)
    usable = usable_memory(gpu)
    affordable = usable // ((stored + beside) * page)
    slots, pages = share_out(affordable, context, slots, gpu)
    spare = spare_pages(batch, page, slots)
    if pages < ceil(context / page):
        least = ceil(context / page) + spare + DISCARDED_PAGES
        raise too_large(context, (stored + beside) * page * least, usable)
    tokens = pages * page
    size = gib((pages + spare + DISCARDED_PAGES) * page * stored)
    config = ContinuousBatchingConfig(
        page_size=page,
        num_blocks=pages + spare,
        max_batch_tokens=batch,
        max_requests_per_batch=slots,
        max_memory_percent=1.0,  # the plan above is the bound
        allow_block_sharing=True,  # a prompt that was read before is not read again
        safety_margin=(spare - 0.5) / (pages + spare),  # fewer free pages than `spare`: those kept for sharing go
        auto_switch_to_flash=False,  # the engine chose its attention; the library would ask the model hub
    )
    return CachePlan(
        config, Gate(slots, tokens, page), f"KV cache {size} for {slots} requests and {tokens} tokens at once"
    )


def share_out(affordable: int, context: int, slots: int | None, gpu: bool) -> tuple[int, int]:
    """How many slots there are, of the `slots` asked for, and how many pages for their requests.

    Every slot costs a spare page, and a GPU's are large. So there, where nobody asked for more, there are as many slots
    as requests of the usual size fit; and whoever asked, one of `context` tokens fits, unless there are fewer pages.
    """
    page, batch = (GPU_PAGE, GPU_BATCH_TOKENS) if gpu else (CPU_PAGE, CPU_BATCH_TOKENS)
    left = affordable - DISCARDED_PAGES - spare_pages(batch, page, 0)
    whole, usual = ceil(context / page), ceil(min(context, USUAL_TOKENS) / page)
    wanted = slots or (min(GPU_SLOTS, left // (1 + usual)) if gpu else CPU_SLOTS)
    slots = max(1, min(wanted, left - whole, left // 2))
    return slots, min(slots * whole, left - slots)


def spare_pages(batch: int, page: int, slots: int) -> int:
    """Pages that one step can ask for: so many are always free, beside those that the gate has promised.

    Finished requests leave their pages behind for requests that begin alike. The library takes them back when fewer
    pages than its safety margin are free, and it looks once a step.
    """
    return ceil(batch / page) + slots


def bytes_per_token(config: Any, size: int, batch: int) -> tuple[int, int]:
    """Bytes that a token of cache, of values of `size` bytes, takes in the pool and, in passing, beside it.

    Beside it: one layer's keys and values read back and repeated for every head, its column of the attention mask
    over `batch` rows, and its index (PagedAttentionMemoryHandler in the library's cache.py).
    """
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    stored = 2 * config.num_hidden_layers * kv_heads * width * size
    return stored, (2 * heads + kv_heads) * width * size + batch * size + 16


def usable_memory(gpu: bool) -> int:
    """Bytes that the KV cache and all that goes with it may take."""
    if gpu:
        torch.cuda.empty_cache()
        return int(GPU_SHARE * torch.cuda.mem_get_info()[0])
    return int(CPU_SHARE * free_bytes())
