"""llama.cpp's own tokenizer, asked over its private socket."""

from typing import Any

import httpx

from replicate.engines.gguf_header import GGUFHeader
from replicate.errors import ServiceError


class LlamaTokenizer:
    """See `protocol.Tokenizer`."""

    def __init__(self, http: httpx.AsyncClient, header: GGUFHeader) -> None:
        self._http = http
        self.bos: int | None = None  # set once llama.cpp has said whether it adds one
        self.bos_text, self.eos_text = header.bos_text, header.eos_text
        self.chat_template = header.chat_template

    async def encode(self, text: str, *, control: bool, special: bool = False) -> list[int]:
        body = {"content": text, "add_special": special, "parse_special": control}
        return list((await self._post("/tokenize", body))["tokens"])

    async def piece(self, token: int) -> str:
        return str((await self._post("/detokenize", {"tokens": [token]}))["content"])

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await self._http.post(path, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceError(
                "engine_failed", "llama.cpp's tokenizer did not answer. Send the request again."
            ) from error
        answer: dict[str, Any] = response.json()
        return answer
