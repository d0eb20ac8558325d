"""What can go wrong, as data: one stable code a fault, and the exception that carries it to the client.

Cog reports an exception as `status: failed` with the exception's text, so the text is the whole message:
`code: a sentence with the numbers in it. What to do next.`
NOTE: coglet reports any error whose text contains "cancelled" as a cancellation, so no message may contain it.
"""

from deepseek_math.terminal import printable

CODES: dict[str, str] = {
    "prompt_empty": "The prompt has no visible character.",
    "mode_unknown": "`mode` is not one of its choices.",
    "max_new_tokens_out_of_range": "`max_new_tokens` is not a whole number within its bounds.",
    "temperature_out_of_range": "`temperature` is outside its bounds.",
    "top_p_out_of_range": "`top_p` is outside its bounds: over 0, for 0 would leave no token.",
    "top_k_out_of_range": "`top_k` is not a whole number of 0 or more.",
    "seed_out_of_range": "`seed` is not a whole number from 0 to 9007199254740991 (2^53 - 1).",
    "samples_out_of_range": "`samples` is not a whole number within its bounds.",
    "stop_when_sure_out_of_range": "`stop_when_sure` is outside its bounds.",
    "vote_of_one": "`stop_when_sure` is below 1 and `samples` is 1, so there is no vote to stop.",
    "max_tool_rounds_out_of_range": "`max_tool_rounds` is not a whole number within its bounds.",
    "tool_loop_unknown": "`tool_loop` is not one of its choices.",
    "tool_loop_without_tool": "`tool_loop` is `published` and `mode` is not `tool`, so no program runs.",
    "examples_invalid": "`examples` is not a list of questions with solutions that state their answers.",
    "examples_without_fewshot": "`examples` came with another `mode` than `fewshot`, which has no place for them.",
    "flag_invalid": "`return_samples` or `logprobs` is neither true nor false.",
    "vote_stops_early": "`return_samples` is true and `stop_when_sure` below 1, which would leave samples out.",
    "logprobs_unavailable": "`logprobs` is true, and the engine that serves the checkpoint does not tell them.",
    "vote_is_greedy": "`samples` is over 1 and `temperature` is 0, which would draw the same completion each time.",
    "stop_invalid": "`stop` is not a list of strings, holds an empty one, or holds too many.",
    "messages_invalid": "`messages` is not a list of turns that alternate, user and assistant, and end with assistant.",
    "text_invalid": "A text input holds half a UTF-16 pair, which is not a character.",
    "text_garbled": "A text was changed on its way here, such as a LaTeX command that was read as an escape.",
    "text_too_long": "A text input has more than 100,000 characters, more than any context holds.",
    "names_disagree": "Two names of one input, such as `max_tokens` and `max_new_tokens`, have different values.",
    "input_not_offered": "An input of other models, such as `presence_penalty`, has a value that is not neutral.",
    "raw_takes_prompt_only": "`system_prompt` or `messages` came with `raw` or `fewshot`, which send one text.",
    "base_has_no_tools": "`mode` is tool and the checkpoint is a base model, which is never asked in words.",
    "sandbox_unavailable": "`mode` is tool and this machine can't isolate programs; the log of the start says why.",
    "control_token": "A control token of the checkpoint is written inside the text of a chat or cot prompt.",
    "no_chat_template": "The checkpoint has no chat template, so `chat`, `cot` and `tool` mean nothing to it.",
    "template_failed": "The checkpoint's chat template refused the conversation.",
    "context_exceeded": "Prompt tokens plus `max_new_tokens` exceed the context.",
    "row_invalid": "A row of a batch's file can't be read, or makes no request; the message says why.",
    "setting_invalid": "An environment variable such as SLOTS has a value that means nothing.",
    "checkpoint_unknown": "`CHECKPOINT`, or `COG_WEIGHTS`, is not a known name, a path or an address.",
    "checkpoint_unusable": "The checkpoint's files are missing, damaged or of no known format.",
    "checkpoint_damaged": "A file has another digest than the one that is published or asked for.",
    "checkpoint_changed": "The files are not those that were downloaded first, as checkpoints.lock.json has them.",
    "checkpoint_in_use": "A checkpoint that is served or downloaded was to be removed.",
    "download_failed": "The checkpoint could not be downloaded; the message says whether a further start can go on.",
    "disk_full": "The disk has no room for the checkpoint; what has arrived is kept for the next start.",
    "package_missing": "The checkpoint's engine or mode tool needs a package that is not installed.",
    "memory_exceeded": "The weights, or the KV cache of even one request, do not fit in memory.",
    "engine_not_started": "The engine's own process ended before it was ready; the message has its reason.",
    "engine_failed": "The engine failed while it worked on this prediction.",
    "engine_unreachable": "The server that ENGINE_URL names can't be reached, or broke off.",
    "engine_busy": "The server that ENGINE_URL names is overloaded; the message says what it answers.",
    "engine_refused": "The server that ENGINE_URL names refuses the key, has no such model or can't do what is asked.",
    "engine_unusable": "The server that ENGINE_URL names would change prompts, or has another vocabulary.",
    "prediction_id_shared": "Two predictions at work have one id, so Cog would give one of them the other one's text.",
    "sandbox_failed": "The process that starts sandboxes failed while it worked on this prediction.",
    "time_limit": "The prediction took longer than TIME_LIMIT allows; what was made so far is there.",
    "engine_stalled": "The engine gave no sign of life for too long.",
    "folder_unwritable": "There is no folder for temporary files that can be written to.",
    "internal_error": "A fault of the service itself; its traceback is in the log.",
}


# Whose sentences may quote a client, a model, a template or another server.
QUOTING = frozenset(
    {
        "mode_unknown",
        "tool_loop_unknown",
        "messages_invalid",
        "text_garbled",
        "names_disagree",
        "input_not_offered",
        "control_token",
        "template_failed",
        "engine_busy",
        "engine_failed",
        "engine_refused",
        "engine_unreachable",
        "engine_unusable",
    }
)


class ServiceError(Exception):
    """A fault that the client is told about. `code` is a key of CODES; `message` is for people."""

    def __init_subclass__(cls) -> None:
        """Cog puts the class's name before the text, and clients look for that of this one."""
        cls.__name__ = cls.__qualname__ = ServiceError.__name__

    def __init__(self, code: str, message: str) -> None:
        assert code in CODES, code
        self.code = code
        # A client's own text may be quoted in it, or a stranger's: of a server, an archive, a chat template.
        self.message = printable(message).replace("ancelled", "anceled")
        super().__init__(f"{code}: {self.message}")

    def without_quotes(self) -> "ServiceError":
        """The same for a log that keeps no words: a sentence that may quote some is replaced by the code's meaning."""
        if self.code not in QUOTING:
            return self
        return ServiceError(self.code, f"{CODES[self.code]} (LOG_PROMPTS=0 keeps the details out of the log.)")
