"""The tokenizer of a safetensors checkpoint, and its tokens back as text while they come."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers


class HFTokenizer:
    """The checkpoint's tokenizer.json, with the roles its tokenizer_config.json gives to tokens.

    What transformers' AutoTokenizer says of both files, without its 126 MB: the remote engine needs no more.
    """

    def __init__(self, path: Path) -> None:
        # Two tokenizers, as the attribute below is shared by all threads that use one.
        self._control = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        ids = _read(path / "config.json")
        named = {
            f"{role}_token": self._control.id_to_token(ids[f"{role}_token_id"])
            for role in ("bos", "eos")
            if isinstance(ids.get(f"{role}_token_id"), int)
        }
        roles = named | _read(path / "special_tokens_map.json") | _read(path / "tokenizer_config.json")
        bos, self.bos_text = self._role(roles.get("bos_token"))
        self.eos, self.eos_text = self._role(roles.get("eos_token"))
        adds_bos = self._control.encode("").ids[:1] == [bos] or roles.get("add_bos_token")
        self.bos: int | None = bos if adds_bos else None
        beside = path / "chat_template.jinja"  # which wins
        template = beside.read_text("utf-8") if beside.exists() else roles.get("chat_template")
        self.chat_template: str | None = template if isinstance(template, str) else None

    def _role(self, token: Any) -> tuple[int | None, str]:
        """The id and text of a token as tokenizer_config.json names it: its text, an object around it, or null."""
        text = str((token["content"] if isinstance(token, dict) else token) or "")
        return self._control.token_to_id(text), text

    async def encode(self, text: str, *, control: bool) -> list[int]:
        tokenizer = self._control if control else self._plain
        encoding = await asyncio.to_thread(tokenizer.encode, text, add_special_tokens=False)  # it frees the GIL
        return list(encoding.ids)

    async def piece(self, token: int) -> str:
        return self._control.decode([token], skip_special_tokens=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens` without control tokens; U+FFFD for bytes that are no character."""
        return self._control.decode(tokens, skip_special_tokens=True)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


class Detokenizer:
    """The text of a growing list of tokens, in whole characters: O(1) a token.

    What `step` returned so far, joined, is `decode(all tokens)` less the unfinished character at its end. The
    library's DecodeStream is not used: it also holds back whole characters that precede the unfinished one.
    """

    def __init__(self, tokenizer: HFTokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []  # the tokens since the last boundary but one between whole characters
        self._boundary = 0  # how many of them lie before the last boundary: context, as a space may depend on it
        self._sent = 0  # characters of the window's text that were returned

    def step(self, token: int) -> str:
        """The text that `token` completes, often empty inside a character."""
        self._window.append(token)
        text = self._tokenizer.decode(self._window)
        whole = text.rstrip("\ufffd")
        new = whole[self._sent :]
        self._sent = max(self._sent, len(whole))
        if whole == text:
            self._window = self._window[self._boundary :]
            self._boundary = len(self._window)
            self._sent = len(self._tokenizer.decode(self._window))
        return new
