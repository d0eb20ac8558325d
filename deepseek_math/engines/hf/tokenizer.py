"""The tokenizer of a safetensors checkpoint, and a detokenizer for text that is still being generated."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers


class HFTokenizer:
    """The checkpoint's tokenizer.json, with the roles that its tokenizer_config.json gives to tokens.

    It does what transformers' AutoTokenizer does with both files, without that library's 126 MB, which the remote
    engine does not need.
    """

    def __init__(self, path: Path) -> None:
        # Two tokenizers: all threads that use one share the attribute set below.
        self._control = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        roles = self._roles(path)
        bos, self.bos_text = self._role(roles.get("bos_token"))
        self.eos, self.eos_text = self._role(roles.get("eos_token"))
        adds_bos = self._control.encode("").ids[:1] == [bos] or roles.get("add_bos_token")
        self.bos: int | None = bos if adds_bos else None
        self.chat_template = _template(path, roles)

    def _roles(self, path: Path) -> dict[str, Any]:
        """What the files say of the control tokens and the template. A later file overrides an earlier one."""
        ids = _read(path / "config.json")
        roles: dict[str, Any] = {}
        for role in ("bos", "eos"):
            number = ids.get(f"{role}_token_id")
            if isinstance(number, int):
                roles[f"{role}_token"] = self._control.id_to_token(number)
        return roles | _read(path / "special_tokens_map.json") | _read(path / "tokenizer_config.json")

    def _role(self, token: Any) -> tuple[int | None, str]:
        """The id and text of a token as tokenizer_config.json names it: its text, an object around it, or null."""
        if isinstance(token, dict):
            token = token["content"]
        text = str(token or "")
        return self._control.token_to_id(text), text

    async def encode(self, text: str, *, control: bool) -> list[int]:
        tokenizer = self._control if control else self._plain
        encoding = await asyncio.to_thread(tokenizer.encode, text, add_special_tokens=False)  # it frees the GIL
        return list(encoding.ids)

    async def piece(self, token: int) -> str:
        return self._control.decode([token], skip_special_tokens=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens` without control tokens; U+FFFD for bytes that are not a character."""
        return self._control.decode(tokens, skip_special_tokens=True)


def _template(path: Path, roles: dict[str, Any]) -> str | None:
    """The chat template; chat_template.jinja overrides tokenizer_config.json."""
    file = path / "chat_template.jinja"
    if file.exists():
        return file.read_text("utf-8")
    template = roles.get("chat_template")
    return template if isinstance(template, str) else None


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return dict(json.loads(path.read_text("utf-8")))


class Detokenizer:
    """The text of a growing list of tokens, in whole characters: O(1) a token.

    All that `step` has returned, joined, is `decode(all tokens)` without the unfinished character at its end. The
    library's DecodeStream is not used: it also holds back complete characters before the unfinished one.
    """

    def __init__(self, tokenizer: HFTokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []  # the tokens since the boundary before the last, between complete characters
        self._boundary = 0  # how many of them come before the last boundary; a space may depend on them
        self._sent = 0  # characters of the window's text that were returned already

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
