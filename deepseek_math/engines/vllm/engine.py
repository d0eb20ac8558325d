"""vLLM in this container: the service starts it, speaks to it as to a server elsewhere, and brings it back once."""

import asyncio
import json
import logging
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from deepseek_math import container, restarting
from deepseek_math.engines.memory import checked_context
from deepseek_math.engines.protocol import Delta
from deepseek_math.engines.remote.engine import RemoteEngine
from deepseek_math.engines.vllm import environment, serve_command
from deepseek_math.engines.vllm.child import Child
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.logs import Private
from deepseek_math.sampling import Sampling

log = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two looks at whether it is ready
WAITING = 30.0  # seconds between two lines that say so
ONCE_IN = 3600.0  # seconds in which it is brought back once: what dies again is broken
SHARED_MEMORY = 1 << 30  # bytes of /dev/shm that several GPUs are given; Docker gives 64 MB
KV_CACHE = re.compile(r"KV cache size: ([\d,]+) tokens")  # what it says of itself at the start


class VLLMEngine(RemoteEngine):
    """Serves a folder of config.json, safetensors and tokenizer.json. See `protocol.Engine`.

    What it can't promise: whether a text depends on the company it is in.
    """

    name = "vllm"

    def __init__(
        self,
        path: Path,
        context: int | None = None,
        slots: int = 64,
        *,
        dtype: str | None = None,
        vllm_args: Sequence[str] = (),
        vllm_environment: Path | None = None,
    ) -> None:
        serve_command.require_free(vllm_args)
        self._own = tempfile.TemporaryDirectory(prefix="vllm-")  # which no other user can look into
        self._socket = Path(self._own.name, "socket")
        super().__init__(path, context, slots, engine_url="http://vllm", socket=self._socket)
        self._dtype = dtype
        self._arguments = tuple(vllm_args)
        self._environment = vllm_environment
        self._child: Child | None = None
        self._up = False
        self._keeping: asyncio.Task[None] | None = None
        self._kv_tokens: int | None = None  # tokens that its KV cache holds
        self._shortage = ""  # what this container has too little of, and what mends it

    async def start(self) -> None:
        installed = await environment.look(self._environment)
        config = self._config()
        context = checked_context(self._wanted, int(config["max_position_embeddings"]))
        dtype = self._dtype or ("auto" if installed.gpus else "float32")
        spread = serve_command.tensor_parallel(installed.gpus, config)
        self._command = serve_command.command(
            installed,
            self._path,
            self._socket,
            context=context,
            slots=self._slots,
            dtype=dtype,
            spread=spread,
            arguments=self._arguments,
        )
        self._variables = serve_command.environment(installed, Path(self._own.name))
        log.info("vLLM %s on %d GPUs, tensor parallel %d", installed.version, installed.gpus, spread)
        self._shortage = _shortage() if installed.gpus > 1 else ""
        if self._shortage:
            log.warning("%s", self._shortage)
        try:
            child = await self._bring_up()
            await self._while_it_lives(child, super().start())
        except BaseException:
            await self._end()
            raise
        if self._kv_tokens:
            self.gate = Gate(self._slots, self._kv_tokens)
            self.cache = f"{self.cache}, KV cache of {self._kv_tokens} tokens"
        drawn_in = config.get("dtype") or config.get("torch_dtype") if dtype == "auto" else dtype
        told = [f"context {self.context}", str(drawn_in), f"vLLM {installed.version}", *self._arguments]
        self.settings = ", ".join(told)
        self._keeping = asyncio.create_task(self._keep())

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        self._require_up()
        try:
            async with aclosing(super().generate(prompt, sampling)) as deltas:
                async for delta in deltas:
                    yield delta
        except ServiceError as error:
            if error.code != "engine_unreachable":
                raise
            raise ServiceError(
                "engine_failed", "vLLM failed while it worked on this prediction. Send it again in a minute or two."
            ) from error

    async def healthy(self) -> bool:
        return self._up and await super().healthy()

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end()
        await super().close()
        self._own.cleanup()

    def _config(self) -> dict[str, Any]:
        try:
            config: dict[str, Any] = json.loads((self._path / "config.json").read_text())
            return config | {name: int(config[name]) for name in ("max_position_embeddings", "num_attention_heads")}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ServiceError("checkpoint_unusable", f"{self._path}/config.json can't be used ({error}).") from error

    async def _bring_up(self) -> Child:
        """Starts vLLM, and returns it once it takes requests. It has all the time that the container is given.

        Raises ServiceError where it ends before that.
        """
        self._socket.unlink(missing_ok=True)
        began = told = time.monotonic()
        child = self._child = Child(self._heard)
        await child.start(self._command, self._variables)
        while not await self._server.healthy():
            await asyncio.wait([child.gone], timeout=LOOK)
            if child.gone.done():
                raise ServiceError("engine_not_started", await self._why(child, "did not start"))
            if time.monotonic() >= told + WAITING:
                told = time.monotonic()
                log.info("waiting for vLLM, %.0f s so far", told - began)
        self._up = True
        return child

    async def _while_it_lives(self, child: Child, asking: Coroutine[Any, Any, None]) -> None:
        """Waits for what is asked of vLLM at the start. Raises ServiceError where it ends before it has answered."""
        asked = asyncio.create_task(asking)
        first: list[asyncio.Future[Any]] = [asked, child.gone]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            raise ServiceError("engine_not_started", await self._why(child, "ended amid its first request"))
        await asked

    async def _keep(self) -> None:
        """Waits for vLLM's end, and brings it back; what dies twice in an hour stays dead, and so does the service."""
        died = -ONCE_IN
        while self._child is not None:
            await asyncio.wait([self._child.gone])
            self._up = False
            with restarting.announced():
                log.error("%s", Private(await self._why(self._child, "has ended")))
                if time.monotonic() < died + ONCE_IN:
                    log.error("vLLM has ended twice within %.0f minutes: unhealthy for good.", ONCE_IN / 60)
                    return
                died = time.monotonic()
                try:
                    await self._bring_up()
                except Exception:
                    log.exception("vLLM could not be started again: unhealthy for good.")
                    await self._end()
                    return
            log.info("vLLM is back after %.0f s", time.monotonic() - died)

    async def _why(self, child: Child, what: str) -> str:
        return f"vLLM {what} ({await child.reason()}). {self._shortage}".strip()

    def _require_up(self) -> None:
        if self._up:
            return
        if self._keeping is None or self._keeping.done():
            raise ServiceError("engine_failed", "vLLM has ended for good; the log says why. Start the container again.")
        raise ServiceError("engine_failed", "vLLM is being started again. Send it again in a minute or two.")

    async def _end(self) -> None:
        self._up = False
        if self._child is not None:
            await self._child.end()

    def _heard(self, line: str) -> None:
        """Once it serves, its lines may quote clients."""
        found = KV_CACHE.search(line)
        if found:
            self._kv_tokens = int(found[1].replace(",", ""))
        log.info("vLLM: %s", Private(line) if self._up else line)


def _shortage() -> str:
    """What to say where several GPUs have too little shared memory to speak through; empty where they have enough."""
    size = container.shared_memory()
    if size is None or size >= SHARED_MEMORY:
        return ""
    return (
        f"/dev/shm has {size >> 20} MiB, too little for several GPUs. Give it more: docker run --shm-size 1g, in "
        "compose shm_size: 1g, in Kubernetes an emptyDir of medium Memory at /dev/shm."
    )
