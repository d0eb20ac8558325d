"""What stands at ENGINE_URL, asked once at the start: its model, its kind, its vocabulary and its context.

A prompt goes as token ids, so that it is the published one to the token. A server that takes text alone is refused,
since it would tokenise anew. Ollama is one: it wraps a template of its own around the text, adds a BOS, cuts what is
too long, and has no top_k (ollama/ollama at fb307609: `FromCompleteRequest` in openai/openai.go, `GenerateHandler` in
server/routes.go, `completionPromptForRequest` in llm/llama_server.go).
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deepseek_math.engines.protocol import Tokenizer
from deepseek_math.engines.remote import dialects
from deepseek_math.engines.remote.completions_client import CompletionsServer, Passing, Refused, retrying
from deepseek_math.engines.remote.dialects import Chunks, Dialect, well_formed
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import Sampling

PROBE_SECONDS = 600.0  # that the first completion may take: it may stand in a long line
SAMPLE = "What is 12 + 30? Show that \\frac{1}{2} of 84 is \\boxed{42}.\n求 17 与 25 的和。"

Card = dict[str, Any]  # what a server lists of a model


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server that can serve the checkpoint."""

    model: str
    dialect: Dialect
    context: int | None  # tokens of prompt and completion together; None where it does not tell
    compared: bool  # whether it could be asked what text it knows the tokens by


async def inspect(server: CompletionsServer, model: str | None, tokenizer: Tokenizer) -> RemoteServer:
    """`model` None takes the only one there is. Raises ServiceError where prompts would not arrive as they are."""
    card = _card(server, model, await server.models())
    name = model or str(card["id"])
    ids = await tokenizer.encode(SAMPLE, control=False)
    compared = await _compare(server, name, ids)
    dialect = await _kind(server, name, ids if tokenizer.bos is None else [tokenizer.bos, *ids])
    with well_formed(card, server.hidden):
        context = card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx")  # vLLM's word, llama.cpp's word
        context = None if context is None else int(context)
    if context is None and dialect is dialects.LLAMA_CPP:
        context = await server.slot_context()
    return RemoteServer(name, dialect, context, compared)


async def _compare(server: CompletionsServer, model: str, ids: list[int]) -> bool:
    """Whether the server could be asked what it reads in CHECKPOINT's tokens. Raises ServiceError where that is another
    text: before the first completion, which such tokens make fail in ways of their own."""
    try:
        text = await server.detokenize(model, ids)
    except (Passing, Refused) as fault:
        if fault.code not in ("engine_failed", "engine_refused"):
            raise
        raise _another_vocabulary(server, model, f"can't read ({fault.answered})") from fault
    if text is not None and "".join(text.split()) != "".join(SAMPLE.split()):
        raise _another_vocabulary(server, model, f"reads as {text[:16]!r}")
    return text is not None


def _another_vocabulary(server: CompletionsServer, model: str, how: str) -> ServiceError:
    return ServiceError(
        "engine_unusable",
        f"The tokens of {SAMPLE[:16]!r} are what the server at {server.where} {how}: its model {model} has another "
        "vocabulary than CHECKPOINT. Set CHECKPOINT to the model that it serves.",
    )


def _card(server: CompletionsServer, model: str | None, cards: list[Card]) -> Card:
    if model and not cards:  # some servers list nothing
        return {}
    with well_formed(cards, server.hidden):
        found = [card for card in cards if model in (None, card["id"], *(card.get("aliases") or ()))]
    if len(found) == 1:
        return found[0]
    wanted = f"has no model {model!r}" if model else f"lists {len(cards)} models, not 1"
    listed = ", ".join(str(card["id"]) for card in cards)
    raise ServiceError(
        "engine_refused",
        f"The server at {server.where} {wanted}. Set ENGINE_MODEL to one that it has"
        + (f": {listed}." if listed else "."),
    )


async def _kind(server: CompletionsServer, model: str, ids: list[int]) -> Dialect:
    """The server's kind, once it has continued `ids` and counted as many of them. Raises ServiceError.

    A server that refuses what it does not know is asked again in plain OpenAI. Both kinds of refusal look alike, so
    the second one counts as that of a prompt of token ids.
    """
    try:
        chunks = await _said(server, {"model": model, "prompt": ids, **dialects.PROBE})
        dialect = None
    except Refused:
        dialect = dialects.PLAIN
        try:
            chunks = await _said(server, dialect.body(model, ids, Sampling(max_new_tokens=1)))
        except Refused as error:
            raise ServiceError(
                "engine_unusable",
                f"{error.message} It seems to take text alone, where this service sends token ids: a server that "
                "tokenises by itself may add a template or a second BOS in silence. Ollama is one: serve the same GGUF "
                "file with llama-server, or use vLLM.",
            ) from error
    reader = Chunks(server.hidden)
    for chunk in chunks:
        reader.delta(chunk)
    if reader.prompt_tokens not in (None, len(ids)):
        raise ServiceError(
            "engine_unusable",
            f"The server at {server.where} counted {reader.prompt_tokens} tokens where {len(ids)} were sent: it "
            "changes prompts, and the answers would be worse.",
        )
    return dialect or dialects.recognised(chunks)


async def _said(server: CompletionsServer, body: dict[str, Any]) -> Sequence[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        async with aclosing(server.chunks(body)) as stream:
            return [chunk async for chunks in stream for chunk in chunks]

    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await retrying(ask)
    except TimeoutError as error:
        raise ServiceError(
            "engine_stalled", f"The server at {server.where} did not complete 4 tokens in {PROBE_SECONDS:g} s."
        ) from error
