"""The CPU engine: llama.cpp's server inside this process (xllamacpp), for GGUF checkpoints.

A request is one blocking call on a thread of its own; llama.cpp batches all running requests and calls back for
every token. Its HTTP side listens on a private Unix socket and serves what the Python binding lacks: tokenising.

Exactness: llama.cpp picks other kernels for other batch shapes, so a text usually changes with the company it is
in (17 of 24 did with the defaults). Three settings keep every sum the same: one KV stream a slot, flash attention
on, and K and V of different types, which rules out ggml's tiled and split variants of it. That makes texts exact for
Q4_0, Q4_1, Q5_0 and Q8_0 weights (0 of 16 differ, each), and none of 64 texts differed with F16. For K-quants and
bfloat16 weights ggml multiplies one row by another kernel than several: there only SLOTS=1, without reuse of an earlier
prompt, gives exact texts, so the last two settings are llama.cpp's own choice, as they are on a GPU. EXACT asks for the
other way.
"""

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx

# Read once by the OpenMP runtime, when llama.cpp is loaded: how long an idle thread spins before it sleeps. With the
# default one busy neighbour process cuts 73 tokens a second to 3; with 200 it is 39, and 86 without a neighbour.
os.environ.setdefault("GOMP_SPINCOUNT", "200")

import xllamacpp

from deepseek_math import container
from deepseek_math.engines.llama_cpp import offload
from deepseek_math.engines.llama_cpp.chunk import read_chunk
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.llama_cpp.hearing import SIGN_OF_LIFE, Arrival, Hearing
from deepseek_math.engines.llama_cpp.mailbox import Mailbox
from deepseek_math.engines.llama_cpp.private_http import PrivateHTTP
from deepseek_math.engines.llama_cpp.shared_prompts import SharedPrompts
from deepseek_math.engines.llama_cpp.slots import Slots
from deepseek_math.engines.llama_cpp.tokenizer import LlamaTokenizer
from deepseek_math.engines.llama_cpp.watch import Steps, Watch
from deepseek_math.engines.memory import checked_context, gib, require_room_for_weights, room, too_large
from deepseek_math.engines.protocol import Delta, joined
from deepseek_math.engines.weight_files import weight_bytes
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.sampling import UNSEEN_STEP, Sampling

log = logging.getLogger(__name__)

# Prompt tokens a step: few, so that a long prompt neither holds up other streams nor a cancel. Fewer than 64 cost more:
# 16 prompts of 88 tokens took 12.4 s of processor time in steps of 32, 10.8 in steps of 64, 10.9 in steps of 128. Small
# models read faster: in steps of 256, 16 streams of one of 98 MB were 4 % faster (docs/performance.md).
PREFILL_STEP, SMALL_MODEL_STEP = 64, 256
# Where texts are not exact anyway: a usual question is read in one or two steps, as by llama.cpp's own server.
INEXACT_STEP = 128
SMALL_MODEL = 2**28  # bytes of weights
MOST_SLOTS = 256  # llama.cpp's LLAMA_MAX_SEQ
BYTES_PER_VALUE = 2  # K in float16, V in bfloat16 or float16
RELEASE_SECONDS = 60.0  # held for longer, a request means that the engine hangs: a step of a 7B may take 10 on 2 cores
RANDOM_SEED = 2**32 - 1  # llama.cpp reads this seed as "draw one"


class LlamaCppEngine:
    """A GGUF file on llama.cpp. See `protocol.Engine`."""

    name = "llama_cpp"
    tells_logprobs = True

    def __init__(
        self,
        path: Path,
        context: int | None = None,
        slots: int = 16,
        threads: int | None = None,
        exact: bool | None = None,
        gpu_layers: int | None = None,
    ) -> None:
        """`context` is the most tokens of one request; None takes the file's own. `slots` shrink to fit memory.

        `exact`: whether texts are kept from depending on their company; None: where the weights allow it. `gpu_layers`
        go onto a GPU, None: as many as fit. Raises ServiceError.
        """
        if slots > MOST_SLOTS:
            raise ServiceError("setting_invalid", f"SLOTS={slots}, and llama.cpp has {MOST_SLOTS} at most. Set fewer.")
        cores = os.cpu_count() or 1
        if threads and threads > cores:
            raise ServiceError(
                "setting_invalid", f"THREADS={threads}, and this machine has {cores} cores: more are slower. Set fewer."
            )
        self._path = path
        self._header = read_header(path)
        self._thread_count = threads or container.cores()
        self.context = checked_context(context, self._header.context)
        each = self._header.kv_values_per_token * BYTES_PER_VALUE * self.context
        weights = weight_bytes(path)
        self._offload = offload.plan(gpu_layers, offload.devices(), self._header.blocks, weights, each, slots)
        self._exact = self._header.exact and not self._offload.layers if exact is None else exact
        self.settings = self._told()
        slots = self._offload.slots or self._slots_in_memory(slots, weights, each)
        self.gate = Gate(slots, slots * self.context)
        self.cache = f"KV cache {gib(slots * each)} for {slots} requests at once"
        self._slots = Slots(slots)
        self._steps = 0  # chunks that llama.cpp has sent, for any request
        self._held: set[int] = set()  # slots of requests that llama.cpp should have let go of and has not

    def _told(self) -> str:
        """What changes texts beside the file."""
        told = [f"context {self.context}"]
        if not self._exact:
            told.append("V in float16")
        if self._offload.layers:
            told.append(str(self._offload))
        return ", ".join(told)

    def _slots_in_memory(self, slots: int, weights: int, each: int) -> int:
        """As many as fit this machine's memory beside the weights that stay there. Raises ServiceError."""
        weights, each = int(weights * self._offload.host_share), int(each * self._offload.host_share)
        if container.memory_limit() is None:  # there `too_large` reckons with the weights
            require_room_for_weights(self._path.name, weights)
        usable = room(weights)
        if each > usable:
            raise too_large(self.context, each, usable, weights)
        return min(slots, int(usable / each))

    async def start(self) -> None:
        for line in self._notes():
            log.info("%s", line)
        self._folder = tempfile.TemporaryDirectory(prefix="llama-")
        socket = f"{self._folder.name}/http.sock"
        try:
            self._server = await asyncio.to_thread(xllamacpp.Server, self._params(socket))
        except RuntimeError as error:
            raise ServiceError(
                "checkpoint_unusable", f"llama.cpp could not load {self._path}: is the file whole and a model's?"
            ) from error
        self._http = PrivateHTTP(socket)
        self._shared = SharedPrompts(
            self._http, Path(self._folder.name), self._header.kv_values_per_token * BYTES_PER_VALUE
        )
        self._mailbox = Mailbox()
        self._threads = ThreadPoolExecutor(self.gate.slots, "llama-request")
        self.tokenizer = await LlamaTokenizer.open(self._header, self._path, Path(self._folder.name), self._http)

    def _notes(self) -> list[str]:
        """What the log of the start says of the settings."""
        notes = [f"{self._offload}" if self._offload.layers else "all layers on the CPU"]
        if not self._exact:
            notes.append("texts may depend on what else is at work: docs/determinism.md has what EXACT=1 changes")
        return notes

    def _params(self, socket: str) -> xllamacpp.CommonParams:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.hostnames = [socket]
        params.n_parallel = self.gate.slots
        params.n_ctx = self.gate.slots * self.context
        params.n_batch = params.n_ubatch = self._prefill_step()
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._thread_count
        params.n_gpu_layers = self._offload.layers
        params.kv_unified = False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F16
        if self._exact:
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
            params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_BF16
        params.slot_save_path = f"{self._folder.name}/"
        params.cache_ram_mib = 0  # its prompt cache would take up to 8 GiB beside the KV cache
        params.ctx_shift = False
        # Mapped, the file would be in memory twice: as it is, and as the CPU's kernels want it (1.7 times its size).
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
        params.warmup = False  # the service makes a completion of its own
        params.verbosity = -1
        return params

    def _prefill_step(self) -> int:
        """Tokens of a prompt that are read at once."""
        if self._path.stat().st_size < SMALL_MODEL:
            return SMALL_MODEL_STEP
        return PREFILL_STEP if self._exact else INEXACT_STEP

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        ids = tuple(prompt)
        slot, held = self._take(ids)
        holds: tuple[int, ...] = ()  # until the prompt has been read
        said: list[int] = []
        try:
            if held[: len(ids)] != ids:
                await self._shared.restore(slot, ids)
            async with aclosing(self._call(slot, ids, sampling, said)) as deltas:
                async for delta in deltas:
                    holds = ids if delta.tokens else holds
                    yield delta
        finally:
            self._give_back(slot, holds, said)

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """One slot reads the prompt and saves its KV cache, which `generate` restores in others.

        With one slot nothing is shared: K-quants and bfloat16 then stay exact, see above.
        """
        ids = tuple(prompt)
        async with self._shared.held(ids):
            if self.gate.slots > 1 and ids not in self._shared:
                slot, _ = self._take(ids)
                holds: tuple[int, ...] = ()
                try:
                    async with aclosing(self._call(slot, ids, Sampling(max_new_tokens=1), [])) as deltas:
                        async for _ in deltas:
                            yield Delta("", 0)
                    holds = ids
                    await self._shared.save(slot, ids)
                finally:
                    self._give_back(slot, holds)
            yield Delta("", 0, "stop")

    def _take(self, ids: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        try:
            return self._slots.take(ids)
        except LookupError as error:
            raise ServiceError("engine_failed", "llama.cpp has no idle slot. Send the request again.") from error

    async def _call(
        self, slot: int, prompt: Sequence[int], sampling: Sampling, said: list[int]
    ) -> AsyncGenerator[Delta, None]:
        """One request on a slot that is this caller's. Closing the generator returns when llama.cpp has let go.

        `said` gets the completion's tokens, less those that ended inside a character: llama.cpp does not tell these.
        """
        arrived: asyncio.Queue[Arrival] = asyncio.Queue()
        hearing = Hearing(self._mailbox, arrived.put_nowait, 1 if sampling.seen else UNSEEN_STEP)

        def heard(chunk: bytes) -> bool:
            self._steps += 1
            return hearing(chunk)

        def run() -> None:
            if hearing.stop.is_set():  # it was given up before a thread was free
                return
            end: BaseException | None = None
            try:
                # asked in bytes it answers in bytes, and no thread but the loop's parses them
                self._server.handle_completions(json.dumps(self._body(slot, prompt, sampling)).encode(), heard)
            except BaseException as error:
                end = error
            hearing.end(end)

        def tell() -> None:
            log.info("a request waits: llama.cpp works, with %d at once", self.gate.running)
            arrived.put_nowait(SIGN_OF_LIFE)

        call = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            tokens = 0
            with Watch(lambda: Steps(hearing.chunks, self._steps, hearing.reading), tell):
                while (item := await arrived.get()) is not None:
                    if isinstance(item, BaseException):
                        message = "llama.cpp failed on this prediction. Send it again."
                        raise ServiceError("engine_failed", message) from item
                    if not item[1]:
                        yield Delta("", tokens)
                        continue
                    at, chunks = item[0], [read_chunk(data) for data in item[1]]
                    delta = joined([_delta(each, at) for each in chunks])
                    tokens = delta.tokens
                    for each in chunks:
                        said += each["__verbose"]["tokens"] if tokens else ()
                    yield delta
                    if delta.finish:
                        return
            raise ServiceError("engine_failed", "llama.cpp ended the completion without a reason. Send it again.")
        finally:
            hearing.stop.set()
            await self._released(call, slot)

    async def _released(self, call: "asyncio.Future[None]", slot: int) -> None:
        """Waits until llama.cpp has let go of a request, which it does at its next token or prefill step."""
        await asyncio.wait([call], timeout=RELEASE_SECONDS)
        if not call.done():
            self._held.add(slot)
            call.add_done_callback(lambda _: self._let_go(slot))
            log.error("llama.cpp did not let go of a request within %g s: unhealthy until it does", RELEASE_SECONDS)

    def _let_go(self, slot: int) -> None:
        self._held.discard(slot)
        self._slots.give_back(slot, ())

    def _give_back(self, slot: int, holds: tuple[int, ...], said: Sequence[int] = ()) -> None:
        """The slot of a request that llama.cpp still holds comes back when it lets go: another would wait for it."""
        if slot not in self._held:
            self._slots.give_back(slot, holds, said)

    def _body(self, slot: int, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        if sampling.greedy:  # else all of the vocabulary would be sorted for top_p: 7 % of the time
            samplers, top_k = ["top_k"], 1
        else:
            samplers, top_k = ["temperature", "top_k", "top_p"], sampling.top_k  # its own list adds min_p
        if top_k >= self._header.vocabulary:  # no limit; llama.cpp would read a number over 32 bits as a smaller one
            top_k = 0
        return {
            "id_slot": slot,
            "prompt": list(prompt),
            "cache_prompt": self.gate.slots > 1,
            "stream": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.engine_temperature,
            "top_p": sampling.top_p,
            "top_k": top_k,
            "seed": sampling.seed % RANDOM_SEED,
            "samplers": samplers,
            "verbose": True,  # the tokens of every chunk, and their count
            "n_probs": int(sampling.logprobs),  # the one top token's; the drawn token's comes beside it
            "return_progress": True,  # a chunk after each step of a long prompt: a sign of life, a chance to cancel
        }

    async def healthy(self) -> bool:
        if self._held:
            return False
        try:
            await self._http.request("GET", "/health", timeout=3.0)
        except httpx.HTTPError:
            return False
        return True

    async def close(self) -> None:
        await self._http.close()
        await self.tokenizer.close()
        self._threads.shutdown(wait=False)
        server = self.__dict__.pop("_server")
        del server  # its destructor ends llama.cpp's threads
        self._folder.cleanup()


def _delta(chunk: dict[str, Any], at: float) -> Delta:
    """One of llama.cpp's chunks as a Delta. It holds back a character that is not whole yet by itself."""
    if "error" in chunk:
        detail = chunk["error"].get("message", chunk["error"])
        raise ServiceError("engine_failed", f"llama.cpp refused the request: {detail}.")
    choice, tokens = chunk["choices"][0], chunk["__verbose"]["tokens_predicted"]
    finish = choice["finish_reason"]
    drawn = (choice.get("logprobs") or {}).get("content", ())  # NOTE: none of a token that ends inside a character
    logprobs, texts = tuple(token["logprob"] for token in drawn), tuple(token["token"] for token in drawn)
    tokens -= finish == "stop"  # it counts the end token
    return Delta(choice["text"], tokens, finish, logprobs, texts, at)
