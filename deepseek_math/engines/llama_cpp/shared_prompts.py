"""Prompts whose KV cache llama.cpp keeps in a file for a while, so that one slot reads them and the others need not."""

import asyncio
import itertools
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from deepseek_math.engines.llama_cpp.private_http import PrivateHTTP
from deepseek_math.engines.memory import gib

log = logging.getLogger(__name__)

FREE_SHARE = 0.25  # of the free disk, the most that one prompt may take
FILE_SECONDS = 60.0  # for a KV cache of up to 2 GiB to a slow disk

Prompt = tuple[int, ...]


@dataclass(slots=True)
class _Kept:
    users: int = 0
    file: str | None = None  # None until it is saved


class SharedPrompts:
    """Saves and restores the KV cache of slots, in `folder`, which llama.cpp knows as its slot_save_path.

    Where that fails nothing is lost but time: a prompt that is not kept is read again.
    """

    def __init__(self, http: PrivateHTTP, folder: Path, bytes_per_token: int) -> None:
        self._http = http
        self._folder = folder
        self._bytes_per_token = bytes_per_token
        self._kept: dict[Prompt, _Kept] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def held(self, prompt: Prompt) -> AsyncIterator[None]:
        """What is saved of `prompt` stays until the last of those who hold it has left."""
        kept = self._kept.setdefault(prompt, _Kept())
        kept.users += 1
        try:
            yield
        finally:
            kept.users -= 1
            if not kept.users:
                del self._kept[prompt]
                await self._remove(kept.file)

    def __contains__(self, prompt: Prompt) -> bool:
        return prompt in self._kept and self._kept[prompt].file is not None

    async def save(self, slot: int, prompt: Prompt) -> None:
        """Keeps the KV cache of a slot that has just read `prompt`, which somebody holds."""
        size = self._bytes_per_token * len(prompt)
        if size > FREE_SHARE * shutil.disk_usage(self._folder).free:
            log.warning("a shared prompt takes %s, too much for the disk: each sample reads it again", gib(size))
            return
        file = f"{next(self._numbers)}.kv"
        saving = asyncio.create_task(self._ask(slot, "save", file))
        try:
            saved = await asyncio.shield(saving)
        except asyncio.CancelledError:
            saving.add_done_callback(lambda _: (self._folder / file).unlink(missing_ok=True))
            raise
        kept = self._kept[prompt]
        if saved and kept.file is None:
            kept.file = file
        else:
            await self._remove(file)

    async def restore(self, slot: int, prompt: Prompt) -> None:
        """Puts what is kept of `prompt` into a slot, if there is anything."""
        if prompt in self and (file := self._kept[prompt].file) is not None:
            await self._ask(slot, "restore", file)

    async def _ask(self, slot: int, action: Literal["save", "restore"], file: str) -> bool:
        try:
            options = {"params": {"action": action}, "json": {"filename": file}, "timeout": FILE_SECONDS}
            await self._http.request("POST", f"/slots/{slot}", **options)
        except httpx.HTTPError as error:
            log.warning("llama.cpp could not %s a shared prompt, so it is read again: %s", action, error)
            return False
        return True

    async def _remove(self, file: str | None) -> None:
        if file is not None:
            await asyncio.to_thread((self._folder / file).unlink, missing_ok=True)
