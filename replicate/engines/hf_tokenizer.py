"""The tokenizer of a safetensors checkpoint, and its tokens back as text while they come."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import tokenizers
import transformers


class HFTokenizer:
    """The checkpoint's tokenizer.json, with the roles its tokenizer_config.json gives to tokens."""

    def __init__(self, path: Path) -> None:
        roles = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        adds_bos = roles("").input_ids[:1] == [roles.bos_token_id] or roles.init_kwargs.get("add_bos_token")
        self.bos: int | None = roles.bos_token_id if adds_bos else None
        self.bos_text: str = roles.bos_token or ""
        self.eos: int | None = roles.eos_token_id
        self.eos_text: str = roles.eos_token or ""
        self.chat_template: str | None = roles.chat_template if isinstance(roles.chat_template, str) else None
        # Two tokenizers, as the attribute below is shared by all threads that use one.
        self._control = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain.encode_special_tokens = True

    async def encode(self, text: str, *, control: bool) -> list[int]:
        tokenizer = self._control if control else self._plain
        encoding = await asyncio.to_thread(tokenizer.encode, text, add_special_tokens=False)  # it frees the GIL
        return list(encoding.ids)

    async def piece(self, token: int) -> str:
        return self._control.decode([token], skip_special_tokens=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens` without control tokens; U+FFFD for bytes that are no character."""
        return self._control.decode(tokens, skip_special_tokens=True)


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
