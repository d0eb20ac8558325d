"""The one table of fields: which are read, which change nothing, and which values of the others ask for nothing.

A field that stands nowhere here is refused by its name, as OpenAI's own service does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_math.inputs import BY_NAME

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"

# By the door itself (`asked.py`).
READ = ("model", "messages", "prompt", "stream", "stream_options", "n", "logprobs", "top_logprobs")
# Other names of our inputs; those of `inputs.OTHER_NAMES` need no row.
RENAMED = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "n_predict": "max_new_tokens",  # llama.cpp
    "random_seed": "seed",  # Mistral
}
INPUTS = {name for name in BY_NAME if name not in ("prompt", "messages", "system_prompt")}  # ours, by their own names

# They change no completion: who asks, what is kept where, how fast, and what a client's own server makes of it.
WITHOUT_EFFECT = (
    "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "cache_prompt", "cache_salt",
    "request_id", "keep_alive", "provider", "usage", "include_reasoning", "parallel_tool_calls",
    "return_progress", "reasoning_format", "timings_per_token",  # llama.cpp's page always sends these three
)  # fmt: skip

# The values of other fields that ask for nothing. None, as everywhere, is as if the field were not sent.
NEUTRAL: Mapping[str, Sequence[Any]] = {
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "reasoning_effort": ("medium", "none"),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({}, []),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "extra_body": ({},),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
}
