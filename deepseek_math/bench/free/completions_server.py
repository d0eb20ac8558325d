"""A completions server that costs its clients nothing to wait for: vLLM's wire format, at a pace.

    python -m deepseek_math.bench.free.completions_server --port 8123 --rate 60

Events are those of vLLM 0.32 for the fields that the adapter sends, `stream_interval` among them. Each is written by
itself, as its HTTP server does it. `ceiling.py` starts it in a process of its own, whose time is not counted.
"""

import argparse
import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from deepseek_math.bench.free.words import LOGPROB, Pace, word, words

MODEL = "free"
STREAM = (
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    '{"id":"cmpl-b22b85b1d7cb4d94ad8b0a8ea4a0a6ae","object":"text_completion","created":1795819259,"model":"free",'
    '"choices":[%s],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}}'
)


def event(first: int, last: int, most: int, prompt: int, logprobs: bool) -> bytes:
    """The chunk of the tokens from `first` to `last` of a completion of `most`."""
    choice: dict[str, Any] = {"index": 0, "text": words(first, last), "logprobs": None}
    if logprobs:
        tokens = [word(count) for count in range(first, last + 1)]
        choice["logprobs"] = {
            "text_offset": [4 * count for count in range(first, last + 1)],
            "token_logprobs": [LOGPROB] * len(tokens),
            "tokens": tokens,
            "top_logprobs": [{token: LOGPROB} for token in tokens],
        }
    choice |= {"finish_reason": "length" if last == most else None, "stop_reason": None}
    return _data(EVENT % (json.dumps(choice, separators=(",", ":")), prompt, prompt + last, last))


def _data(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


class Server:
    def __init__(self, rate: float) -> None:
        self._pace = Pace(rate)

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, request after request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                length = head.lower().partition("content-length:")[2].partition("\r\n")[0]
                body = json.loads(await reader.readexactly(int(length or 0)) or b"{}")
                if (method, path) == ("POST", "/v1/completions"):
                    await self._complete(writer, body)
                elif path == "/v1/models":
                    _send(writer, 200, {"data": [{"id": MODEL, "max_model_len": 4096}]})
                else:
                    _send(writer, 200 if path == "/health" else 404, {})
        writer.close()

    async def _complete(self, writer: StreamWriter, body: dict[str, Any]) -> None:
        most, prompt, interval = body["max_tokens"], len(body["prompt"]), body.get("stream_interval") or 1
        writer.write(STREAM)
        sent = 0
        for count in range(1, most + 1):
            await asyncio.sleep(self._pace.wait())
            if count in (1, most) or count - sent >= interval:
                _write(writer, event(sent + 1, count, most, prompt, "logprobs" in body))
                sent = count
                await writer.drain()
        _write(writer, _data(EVENT % ("", prompt, prompt + most, most)))
        _write(writer, _data("[DONE]"))
        writer.write(b"0\r\n\r\n")


def _write(writer: StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def _send(writer: StreamWriter, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    writer.write(b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body)))
    writer.write(body)


async def serve(port: int, rate: float) -> None:
    async with await asyncio.start_server(Server(rate).answer, "127.0.0.1", port) as server:
        await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=60.0, help="steps a second, 0 as many as can be (default: 60)")
    options = parser.parse_args(arguments)
    asyncio.run(serve(options.port, options.rate))


if __name__ == "__main__":
    main()
