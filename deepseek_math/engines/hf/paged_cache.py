"""The KV cache of the transformers engine: how many pages there are, and how many requests they are enough for."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from transformers import ContinuousBatchingConfig

from deepseek_math.engines.memory import gib, room, too_large
from deepseek_math.gate import Gate

GPU_SHARE = 0.85  # of the GPU's memory that is free once the weights are loaded: for the KV cache
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 256, 1024  # of a step; a longer prompt is read in pieces, so others need not wait
CPU_PAGE, GPU_PAGE = 16, 256  # tokens; flash attention 2 needs multiples of 256
DISCARDED_PAGES = 2  # that the library allocates in addition to `num_blocks`
CPU_SLOTS, GPU_SLOTS = 16, 64  # the most where SLOTS is unset; Cog accepts 64 predictions at once
USUAL_TOKENS = 1280  # of a request: a question, and 1024 new tokens by default


@dataclass(frozen=True, slots=True)
class CachePlan:
    """The library's configuration, and the gate that admits no more requests than fit."""

    config: ContinuousBatchingConfig
    gate: Gate
    cache: str  # for people


def plan_cache(model: Any, context: int, slots: int | None) -> CachePlan:
    """Sizes the cache for `slots` requests of `context` tokens, or for fewer where memory is short.

    The gate counts in pages, as the library does, and admits only what fits, so the library's scheduler never has to
    take cache from a request. Raises ServiceError("memory_exceeded").
    """
    gpu = model.device.type == "cuda"
    page, batch = page_and_batch(gpu)
    stored, passing = bytes_per_token(model.config, model.dtype.itemsize, batch)
    usable = usable_memory(gpu)
    affordable = usable // ((stored + passing) * page)
    slots, pages = share_out(affordable, context, slots, gpu)
    spare = spare_pages(batch, page, slots)
    needed = ceil(context / page)
    if pages < needed:
        raise too_large(context, (stored + passing) * page * (needed + spare + DISCARDED_PAGES), usable)
    tokens = pages * page
    size = gib((pages + spare + DISCARDED_PAGES) * page * stored)
    config = ContinuousBatchingConfig(
        page_size=page,
        num_blocks=pages + spare,
        max_batch_tokens=batch,
        max_requests_per_batch=slots,
        max_memory_percent=1.0,  # the plan above is the limit
        allow_block_sharing=True,  # a prompt that was read before need not be read again
        safety_margin=(spare - 0.5) / (pages + spare),  # with fewer free pages than `spare`, shared ones are freed
        return_logprobs=True,
        auto_switch_to_flash=False,  # the engine chose its attention; the library would ask the model hub
    )
    cache = f"KV cache {size} for {slots} requests and {tokens} tokens at once"
    return CachePlan(config, Gate(slots, tokens, page), cache)


def page_and_batch(gpu: bool) -> tuple[int, int]:
    """Tokens of a page, and of a step."""
    return (GPU_PAGE, GPU_BATCH_TOKENS) if gpu else (CPU_PAGE, CPU_BATCH_TOKENS)


def share_out(affordable: int, context: int, slots: int | None, gpu: bool) -> tuple[int, int]:
    """How many slots there are, at most the `slots` asked for, and how many pages for their requests.

    Every slot costs a spare page, and a GPU's pages are large. So on a GPU, where `slots` is None, there are as many
    slots as requests of the usual size fit. In any case one request of `context` tokens fits, if the pages suffice.
    """
    page, batch = page_and_batch(gpu)
    left = affordable - DISCARDED_PAGES - spare_pages(batch, page, 0)
    whole, usual = ceil(context / page), ceil(min(context, USUAL_TOKENS) / page)
    default = min(GPU_SLOTS, left // (1 + usual)) if gpu else CPU_SLOTS
    slots = max(1, min(slots or default, left - whole, left // 2))
    return slots, min(slots * whole, left - slots)


def spare_pages(batch: int, page: int, slots: int) -> int:
    """Pages that one step can ask for. So many are always free, in addition to those that the gate has reserved.

    Finished requests leave their pages for requests that begin alike. The library frees those pages when fewer than its
    safety margin are free, and it checks once a step.
    """
    return ceil(batch / page) + slots


def bytes_per_token(config: Any, size: int, batch: int) -> tuple[int, int]:
    """Bytes of a token of cache, with values of `size` bytes: in the pool, and outside it while the token is read.

    Outside it: one layer's keys and values, read back and repeated for every head, its column of the attention mask
    over `batch` rows, and its index (PagedAttentionMemoryHandler in the library's cache.py).
    """
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    stored = 2 * config.num_hidden_layers * kv_heads * width * size
    passing = (2 * heads + kv_heads) * width * size + batch * size + 16
    return stored, passing


def usable_memory(gpu: bool) -> int:
    """Bytes that the KV cache may take, with all that is needed to read it."""
    if gpu:
        torch.cuda.empty_cache()
        return int(GPU_SHARE * torch.cuda.mem_get_info()[0])
    return int(room())
