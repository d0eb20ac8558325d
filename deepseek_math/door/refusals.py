"""What the door answers where it gives no completion: OpenAI's shape of an error, our code, the right status.

The statuses are those that OpenAI's own clients act on: they try 408, 409, 429 and 5xx again by themselves, so what
can't succeed is a 400.
"""

import json
from collections.abc import Mapping
from typing import Any

from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME, INPUTS, TEXT_CHARACTERS
from deepseek_math.local.client import PredictionRefused, fault

RETRY_SECONDS = 5  # of Retry-After: whole, and short enough for clients that give up on long ones
TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # other 4xx are invalid_request_error
# Clients shorten the conversation at this code, or at words: LiteLLM and LangChain look for both of these sentences.
OPENAI_CODES = dict.fromkeys(("context_exceeded", "text_too_long"), "context_length_exceeded")
TOO_LONG = "This model's maximum context length is {}. The prompt is too long: {}"
OF_TEXTS = ("text_invalid", "text_garbled", "text_too_long")  # codes of any text: the sentence begins with its name
STATUSES = {  # of the service's codes that are no fault of the request
    "engine_failed": 500,
    "internal_error": 500,
    "sandbox_failed": 500,
    "engine_refused": 500,
    "engine_unusable": 500,
    "engine_unreachable": 503,
    "engine_busy": 503,
    "engine_stalled": 503,
    "time_limit": 504,
}
ABOUT = {field.error_code: field.name for field in reversed(INPUTS)} | {  # the input that a code is about
    "vote_is_greedy": "temperature",
    "vote_of_one": "stop_when_sure",
    "logprobs_unavailable": "logprobs",
    "tool_loop_without_tool": "tool_loop",
    "examples_without_fewshot": "examples",
    "base_has_no_tools": "mode",
    "sandbox_unavailable": "mode",
    "no_chat_template": "mode",
    "names_disagree": "max_new_tokens",
    "text_invalid": "prompt",
    "text_garbled": "prompt",
    "text_too_long": "prompt",
    "raw_takes_prompt_only": "messages",
    "control_token": "prompt",
    "template_failed": "messages",
    "context_exceeded": "prompt",
}


class Refused(Exception):
    """An answer that is no completion. `param` is the field that it is about, as the client wrote it."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        self.room: int | None = None  # of a prompt that fits the context: the tokens that are left
        self.text_so_far: str | None = None  # what TIME_LIMIT broke off
        self.status = status
        self.code = code
        self.message = message
        self.param = param and param.encode(errors="replace").decode()  # half a UTF-16 pair is no JSON that can be sent
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        body: dict[str, Any] = {
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        }
        if self.text_so_far is not None:
            body["deepseek_math"] = {"text_so_far": self.text_so_far}
        return body

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(RETRY_SECONDS)} if self.status in (429, 503) else {}


def invalid(message: str, param: str | None, code: str = "invalid_value") -> Refused:
    return Refused(400, code, message, param)


def of_service(code: str, message: str, written: Mapping[str, str]) -> Refused:
    """A refusal or fault of the service. `written` are the client's names of our inputs."""
    status = STATUSES.get(code, 400)
    about = ABOUT.get(code) if status == 400 else None
    named = message.partition(" ")[0]
    if code in OF_TEXTS and named in BY_NAME:
        about = named
    param = written.get(about or "", about)
    if about and param and message.startswith(f"{about} is "):
        message = param + message.removeprefix(about)
    if code == "text_too_long":
        message = TOO_LONG.format(f"under {TEXT_CHARACTERS} characters", message)
    return Refused(status, OPENAI_CODES.get(code, code), message, param)


def of_error(error: ServiceError, written: Mapping[str, str]) -> Refused:
    return of_service(error.code, error.message, written)


def of_failure(final: Mapping[str, Any], written: Mapping[str, str]) -> Refused:
    """A prediction that failed, as Cog reports it at the end."""
    if final.get("status") == "canceled":
        return Refused(503, "prediction_canceled", "Somebody else canceled the prediction. Send it again.")
    metrics = final.get("metrics", {})
    code = str(metrics.get("error_code", "internal_error"))
    refused = of_service(code, fault(dict(final)).removeprefix(f"{code}: "), written)
    refused.text_so_far = metrics.get("text_so_far")
    if code == "context_exceeded":
        said = refused.message.replace("max_new_tokens", written.get("max_new_tokens", "max_tokens"))
        refused.message = TOO_LONG.format(f"{metrics['context']} tokens", said)
        if metrics["context"] > metrics["prompt_tokens"]:
            refused.room = metrics["context"] - metrics["prompt_tokens"]
    return refused


def of_status(refused: PredictionRefused, written: Mapping[str, str]) -> Refused:
    """What Cog's server answered in place of a stream."""
    if refused.status == 409:
        return Refused(429, "service_full", "All places are taken. Try again in a few seconds.")
    if refused.status == 422:
        return _of_validation(refused, written)
    if refused.status == 503:
        return Refused(503, "service_loading", "The model is still loading, or could not be loaded. Try again.")
    return Refused(502, "service_refused", f"The service answered with {refused}.")


def _of_validation(refused: PredictionRefused, written: Mapping[str, str]) -> Refused:
    """Cog's check of an input by its schema: `{"detail": [{"loc": ["body", "input", "top_p"], "msg": "..."}]}`."""
    try:
        first = json.loads(str(refused).partition(": ")[2])["detail"][0]
        name, said = str(first["loc"][-1]), str(first["msg"])
    except (ValueError, LookupError, TypeError):
        return invalid(str(refused), None, "input_invalid")
    return invalid(f"{name}: {said}.", written.get(name, name), "input_invalid")


def unreachable(url: str) -> Refused:
    return Refused(503, "service_unreachable", f"The service at {url} does not answer, or broke off. Try again.")


def fault_of_ours(error: Exception) -> Refused:
    return Refused(
        500, "internal_error", f"The door met an unexpected {type(error).__name__}; its log has the traceback."
    )
