"""What is reported about every prediction, whether it succeeded, failed or was stopped by its client."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from deepseek_math.answers.extraction import Answer, extract
from deepseek_math.completion import Completion
from deepseek_math.doubts import doubts
from deepseek_math.prediction import Prediction
from deepseek_math.repetition import repetition

METRICS: dict[str, str] = {
    "prompt_tokens": "Tokens that the model read, BOS included.",
    "ahead": "Completions that were at work or in line when the request was checked and taken; told at once. It waits "
    "for those over `slots`.",
    "completion_tokens": "Tokens that it generated; in a vote those of all samples.",
    "finish_reason": "Why the text ends. `stop`: the model ended it. `length`: `max_new_tokens` or the context was "
    "reached. `stop_string`, `tool_rounds`: a limit of the request; in mode fewshot also the beginning of another "
    "question. `repetition`: a vote ended it, see `samples_endless`. `cancelled`, `error`: it was broken off.",
    "error_code": "Of a failure: see errors.",
    "text_so_far": "The text that TIME_LIMIT broke off: in one piece, Cog's answer has no output of a failure.",
    "time_to_first_token": "Seconds since the request arrived, waiting included.",
    "tokens_per_second": "After the first token, the time of programs not counted. In a vote of all samples "
    "together, and with that time.",
    "seed": "The seed of the request, or the one that was drawn.",
    "checkpoint": "The checkpoint's name.",
    "checkpoint_digest": "Tells its files from others of the same name.",
    "engine": "`llama_cpp`, `transformers`, `vllm` or `remote`.",
    "engine_settings": "What else changes texts: context, dtype, vLLM's version and VLLM_ARGS; with ENGINE_URL the "
    "model and the address there.",
    "context": "Tokens that prompt and completion may have together.",
    "slots": "The most requests that the engine works on at once.",
    "answer": "What the text says its answer is. In a vote in the words of the first sample that gave it.",
    "answer_source": "Which rule found the answer: `boxed` or `phrase`.",
    "doubts": "Signs that the answer is not to be trusted, of a prediction that came to its end: see trust.",
    "repetition": "`length` and `count` of the period that the text ends in, where that is there three times or more.",
    "correct": "Whether the answer is equivalent to `expected_answer`. Only where one was sent.",
    "tool_rounds": "Mode tool: programs that ran, of all samples.",
    "tool_errors": "Mode tool: of these, the programs that failed or were killed.",
    "tool_seconds": "Mode tool: what they took together.",
    "vote": "A running vote, after each sample that was counted: `samples`, `finished`, `votes`.",
    "samples": "With `return_samples`: each sample as it is finished, with `seed`, `text`, `answer`, `finish_reason`, "
    "`tokens` and, where the engine tells them, `mean_logprob`; with `logprobs` also its `token_logprobs`.",
    "token_logprobs": "With `logprobs`: `token` and `logprob` of each token drawn, before temperature, in groups as "
    "they came; of a vote those of the text that it chose. The tokens of one character are one entry.",
    "votes": "Of a vote: each answer and its count, most votes first.",
    "agreement": "Of a vote: the winner's share of the samples used.",
    "samples_used": "Of a vote: samples that were counted, in the order of their seeds, until it was decided.",
    "samples_without_answer": "Of a vote: of these, the samples that abstained.",
    "samples_endless": "Of a vote: of the samples used, those that were ended early, since they repeated themselves "
    "to no end and their answer was settled.",
    "samples_failed": "Of a vote in mode tool: of these, the samples that a fault ended.",
    "samples_stopped_early": "Of a vote: all other samples.",
    "tokens_not_generated": "Of a vote: about how many tokens stopping early has saved, a cautious estimate.",
    "undecided_comparisons": "Of a vote: comparisons of two answers that met a bound of time. Where it and "
    "`samples_failed` are 0 and no program met a limit of time, the vote is a function of its seed.",
    "winner_seed": "Of a vote: a single prediction with this seed and temperature gives the same text, or goes on with "
    "it where `finish_reason` is `repetition`.",
}


WORDS = ("answer", "vote", "votes", "text_so_far")  # metrics that hold words of the model


@dataclass(frozen=True, slots=True)
class Served:
    """What is the same for all predictions of one service."""

    checkpoint: str
    engine: str
    checkpoint_digest: str | None = None  # tells its files from others of the same name
    engine_settings: str | None = None  # what else of the engine changes texts: context, dtype, the model elsewhere
    context: int | None = None  # tokens of prompt and completion together
    slots: int | None = None  # the most requests that the engine works on at once


def report(prediction: Prediction, answer: Answer, served: Served) -> dict[str, Any]:
    """The metrics by name. One that has no value (no token came, there was no fault) is left out."""
    chosen = prediction.chosen
    values = {
        "prompt_tokens": prediction.prompt_tokens,
        "completion_tokens": sum(completion.tokens for completion in prediction.completions),
        "finish_reason": prediction.ended or (chosen and chosen.finish_reason),
        "error_code": prediction.error_code,
        "text_so_far": (prediction.text or None) if prediction.error_code == "time_limit" else None,
        "seed": prediction.seed,
        "checkpoint": served.checkpoint,
        "engine": served.engine,
        "checkpoint_digest": served.checkpoint_digest,
        "engine_settings": served.engine_settings,
        "context": served.context,
        "slots": served.slots,
        "answer": answer.text,
        "answer_source": answer.source,
        "correct": prediction.correct,
        **_of_trust(prediction, answer),
        **_of_programs(prediction),
        **_of_vote(prediction),
        **_of_time(prediction),
    }
    return {name: value for name, value in values.items() if value is not None}


def of_sample(completion: Completion, seed: int, *, failed: bool, logprobs: bool) -> dict[str, Any]:
    """What the metric `samples` says of a sample that has come to its end."""
    said = {
        "seed": seed,
        "text": completion.text,
        "answer": extract(completion.text).text,
        "finish_reason": "error" if failed else completion.finish_reason,
        "tokens": completion.tokens,
    }
    if completion.mean_logprob is not None:
        said["mean_logprob"] = completion.mean_logprob
    if logprobs:
        said["token_logprobs"] = of_tokens(completion.drawn)
    return said


def of_tokens(drawn: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """Tokens and their log-probabilities, as the metric `token_logprobs` has them."""
    return [{"token": text, "logprob": logprob} for text, logprob in drawn]


def without_words(values: dict[str, Any]) -> dict[str, Any]:
    """The metrics of a report that a log without words may hold."""
    return {name: value for name, value in values.items() if name not in WORDS}


def _of_trust(prediction: Prediction, answer: Answer) -> dict[str, Any]:
    if prediction.ended is not None:
        return {}
    repeats = repetition(prediction.text)
    return {
        "doubts": doubts(prediction, answer, repeats),
        "repetition": repeats and {"length": repeats.length, "count": repeats.count},
    }


def _of_time(prediction: Prediction) -> dict[str, float]:
    """`time_to_first_token` includes the wait for a slot. `tokens_per_second` is the rate after the first token, the
    time of programs not counted. In a vote both are of all its completions together, and the time of programs counts,
    since the others generate meanwhile."""
    completions = prediction.completions
    first = min((each.first_token for each in completions if each.first_token), default=None)
    last = max((each.last_token for each in completions if each.last_token), default=None)
    if first is None or last is None:
        return {}
    values = {"time_to_first_token": round(first - prediction.arrived, 4)}
    seconds = completions[0].seconds if len(completions) == 1 else last - first
    tokens = sum(completion.tokens for completion in completions)
    if seconds > 0:
        values["tokens_per_second"] = round((tokens - 1) / seconds, 2)
    return values


def _of_programs(prediction: Prediction) -> dict[str, Any]:
    """Of all completions: how many programs ran, how many failed, and the wall time that they took together."""
    if not prediction.tools:
        return {}
    completions = prediction.completions
    return {
        "tool_rounds": sum(completion.tool_rounds for completion in completions),
        "tool_errors": sum(completion.tool_errors for completion in completions),
        "tool_seconds": round(sum(completion.tool_seconds for completion in completions), 4),
    }


def _of_vote(prediction: Prediction) -> dict[str, Any]:
    """`agreement` is the winner's share of the samples used. All others count as stopped early, even one that came to
    its end just as the vote was decided."""
    if prediction.election is None:
        return {}
    vote = prediction.election.vote
    values = {
        "votes": vote.tally(),
        "agreement": round(prediction.election.agreement, 4),
        "samples_used": vote.counted,
        "samples_without_answer": len(vote.silent),
        "samples_endless": len(prediction.election.endless_counted),
        "undecided_comparisons": prediction.election.undecided,
        "winner_seed": prediction.winner_seed,
    }
    if prediction.tools:
        values["samples_failed"] = len(prediction.election.faults_counted)
    if prediction.ended is None:
        values["samples_stopped_early"] = vote.samples - vote.counted
        faults = prediction.election.faults
        ended = [each for number, each in enumerate(prediction.completions) if number not in faults]
        values["tokens_not_generated"] = round(_tokens_saved(ended))
    return values


def _tokens_saved(completions: list[Completion]) -> float:
    """A cautious estimate: a stopped sample would have come to the mean of the finished ones that are longer."""
    finished = [completion.tokens for completion in completions if completion.finish_reason]
    saved = 0.0
    for completion in completions:
        longer = [tokens for tokens in finished if tokens >= completion.tokens]
        if completion.finish_reason is None and longer:
            saved += mean(longer) - completion.tokens
    return saved
