"""The one table of fields: which are read, which change nothing, and which values of the others ask for nothing.

A field that stands nowhere here is refused by its name, as OpenAI's own service does. The names beside OpenAI's are
those that clients were seen to send: of vLLM, llama.cpp, SillyTavern, OpenRouter, DeepSeek and others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_math.inputs import BY_NAME, OTHER_NAMES

CHAT, TEXT, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"

# By the door itself (`asked.py`), which has our inputs of the same name, too.
READ = ("model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "logprobs", "top_logprobs")
# Other names of our inputs.
RENAMED = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "max_output_tokens": "max_new_tokens",  # of OpenAI's other API, sent here by mistake
    "max_length": "max_new_tokens",
    "n_predict": "max_new_tokens",  # llama.cpp
    "random_seed": "seed",  # Mistral
}
# Our inputs by their own names, but for what the messages and `n` say.
INPUTS = {
    field.name
    for field in BY_NAME.values()
    if field.name not in (*READ, *RENAMED, "system_prompt", "return_samples") and not field.neutral
}

# They change no completion: who asks, what is kept where, how fast, and what a client's own server makes of it.
WITHOUT_EFFECT = (
    "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "cache_prompt", "cache_salt",
    "request_id", "session_id", "chat_id", "id", "keep_alive", "priority", "provider", "route", "usage",
    "include_reasoning", "parallel_tool_calls", "reasoning_format", "return_progress", "timings_per_token",
    "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers",
    "dynatemp_exponent", "mirostat_tau", "mirostat_eta", "repeat_last_n", "rep_pen_range", "repetition_penalty_range",
    "smoothing_curve", "xtc_threshold", "return_token_ids", "return_tokens_as_token_ids",
    "background_tasks", "features", "filter_ids", "model_item", "variables",  # Open WebUI
    "conversation_id", "thread_id", "user_id", "custom_llm_provider", "drop_params", "litellm_session_id",
    "litellm_trace_id", "max_retries", "num_retries", "timeout", "cache_seed", "intent", "snippy", "ttl",
    "adaptive_decay", "guided_decoding_backend", "guided_whitespace_pattern", "separate_reasoning", "stream_reasoning",
    "tool_stream",
)  # fmt: skip

# The values of other fields that ask for nothing. None, as everywhere, is as if the field were not sent.
NOTHING: Sequence[Any] = ([], {}, "", False)
NEUTRAL: Mapping[str, Sequence[Any]] = {
    **{field.name: field.neutral for field in OTHER_NAMES if field.neutral},
    # OpenAI's own
    "echo": (False,),
    "suffix": ("",),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"], []),
    "audio": NOTHING,
    "verbosity": ("medium",),
    "reasoning_effort": ("medium", "none"),
    "logit_bias": NOTHING,
    "tools": NOTHING,
    "tool_choice": ("none", "auto"),
    "functions": NOTHING,
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "prediction": NOTHING,
    "web_search_options": (),
    "moderation": NOTHING,
    # What clients wrap further fields in, by mistake
    "extra_body": NOTHING,
    "extra_headers": NOTHING,
    "extra_query": NOTHING,
    "files": NOTHING,
    "options": NOTHING,
    "params": NOTHING,
    "tool_ids": NOTHING,
    "tool_servers": NOTHING,
    # Samplers of other servers
    "adaptive_target": (-1,),
    "backend_sampling": (False,),
    "dry_multiplier": (0,),
    "dynamic_temperature": (False,),
    "dynatemp_range": (0,),
    "encoder_repetition_penalty": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "mirostat": (0,),
    "mirostat_mode": (0,),
    "no_repeat_ngram_size": (0,),
    "penalty_alpha": (0,),
    "rep_pen": (1,),
    "repeat_penalty": (1,),
    "smoothing_factor": (0,),
    "temperature_last": (False,),
    "tfs": (1,),
    "tfs_z": (1,),
    "top_a": (0,),
    "top_n_sigma": (0, -1),
    "typ_p": (1,),
    "typical": (1,),
    "typical_p": (1,),
    "xtc_probability": (0,),
    # Ends, bans and forms of other servers
    "add_bos_token": (True,),
    "add_generation_prompt": (True,),
    "add_special_tokens": (True, False),  # where BOS goes is the service's own matter
    "allowed_token_ids": NOTHING,
    "bad_words": NOTHING,
    "ban_eos_token": (False,),
    "banned_strings": NOTHING,
    "banned_tokens": NOTHING,
    "chat_template": NOTHING,
    "chat_template_kwargs": ({}, {"enable_thinking": False}, {"thinking": False}),
    "continue_final_message": (False,),
    "custom_token_bans": NOTHING,
    "documents": NOTHING,
    "ebnf": NOTHING,
    "early_stopping": (False,),
    "enable_search": (False,),
    "enable_thinking": (False,),
    "fallbacks": NOTHING,
    "grammar": NOTHING,
    "grammar_string": NOTHING,
    "guided_choice": NOTHING,
    "guided_grammar": NOTHING,
    "guided_json": NOTHING,
    "guided_regex": NOTHING,
    "id_slot": (-1,),
    "ignore_eos": (False,),
    "image_data": NOTHING,
    "images": NOTHING,
    "include_stop_str_in_output": (False,),
    "incremental_output": (True,),
    "json_schema": NOTHING,
    "kv_transfer_params": NOTHING,
    "logits_processors": NOTHING,
    "lora": NOTHING,
    "lora_path": NOTHING,
    "min_keep": (0, 1),
    "min_length": (0,),
    "mm_processor_kwargs": NOTHING,
    "models": NOTHING,
    "n_discard": (0,),
    "n_indent": (0,),
    "n_keep": (0, -1),
    "n_probs": (0,),
    "negative_prompt": NOTHING,
    "guidance_scale": (1,),
    "no_stop_trim": (False,),
    "num_beams": (1,),
    "plugins": NOTHING,
    "post_sampling_probs": (False,),
    "prompt_embeds": NOTHING,
    "prompt_logprobs": (0, False),
    "reasoning": ({}, {"enabled": False}, {"exclude": True}),
    "reasoning_budget": (0, -1),
    "regex": NOTHING,
    "return_hidden_states": (False,),
    "safe_prompt": (False,),
    "search_parameters": ({}, {"mode": "off"}),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "stop_regex": NOTHING,
    "stop_token_ids": NOTHING,
    "structured_outputs": NOTHING,
    "t_max_predict_ms": (0, -1),
    "think": (False,),
    "thinking": ({"type": "disabled"}, {}, False),
    "thinking_budget": (0,),
    "transforms": NOTHING,
    "use_beam_search": (False,),
    "vllm_xargs": NOTHING,
    "web_search": (False,),
}
