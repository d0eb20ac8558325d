"""llama.cpp's own tokenizer, asked over its private socket."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.engines.llama_cpp.gguf_header import GGUFHeader
from deepseek_math.engines.llama_cpp.gguf_vocabulary import RULE, Vocabulary
from deepseek_math.engines.llama_cpp.private_http import PrivateHTTP
from deepseek_math.errors import ServiceError

log = logging.getLogger(__name__)


class LlamaTokenizer:
    """See `protocol.Tokenizer`."""

    def __init__(self, http: PrivateHTTP, header: GGUFHeader, vocabulary: Vocabulary | None) -> None:
        self._http = http
        self._vocabulary = vocabulary
        self.bos: int | None = None  # set once llama.cpp has said whether it adds one
        self.bos_text, self.eos_text = header.bos_text, header.eos_text
        self.chat_template = header.chat_template

    @classmethod
    async def open(
        cls, header: GGUFHeader, path: Path, folder: Path, http: PrivateHTTP | None = None
    ) -> "LlamaTokenizer":
        """The file's own, or DeepSeek's where the file's own would tokenise wrongly.

        `http` leads to the llama.cpp that has loaded the file, where there is one.
        """
        vocabulary, rule = None, header.splits
        if header.deepseek and header.splits != RULE:
            rule = RULE
            log.warning(
                "%s names no right rule for splitting text (tokenizer.ggml.pre), which tokenises wrongly. Its "
                "vocabulary is DeepSeek's: loaded with %s.",
                *(path, RULE),
            )
        elif header.splits_unsaid:
            log.warning(
                "%s does not say how to split text (tokenizer.ggml.pre): llama.cpp guesses, and if the guess is wrong "
                "the answers are worse. Use a newer conversion of the checkpoint.",
                path,
            )
        if http is None or rule != header.splits:
            vocabulary = await asyncio.to_thread(Vocabulary, path, folder, rule)
            http = vocabulary.http
        tokenizer = cls(http, header, vocabulary)
        start = await tokenizer.encode("", control=False, special=True)
        tokenizer.bos = start[0] if start[:1] == [header.bos] else None
        return tokenizer

    async def close(self) -> None:
        if self._vocabulary:
            await self._vocabulary.close()

    async def encode(self, text: str, *, control: bool, special: bool = False) -> list[int]:
        body = {"content": text, "add_special": special, "parse_special": control}
        return list((await self._post("/tokenize", body))["tokens"])

    async def piece(self, token: int) -> str:
        return str((await self._post("/detokenize", {"tokens": [token]}))["content"])

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await self._http.request("POST", path, json=body)
        except httpx.HTTPError as error:
            raise ServiceError(
                "engine_failed", "llama.cpp's tokenizer did not answer. Send the request again."
            ) from error
        answer: dict[str, Any] = response.json()
        return answer
