"""The client against streams that no honest service sends on demand."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from deepseek_math.local import client

COMPLETED = {"status": "succeeded", "output": ["42"], "metrics": {"seed": 1}}


@contextmanager
def saying(*events: tuple[str, object]) -> Iterator[str]:
    """The address of a server that answers every prediction with these events."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for kind, data in events:
                self.wfile.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_each_request_has_an_id_of_its_own_or_the_one_that_it_was_given() -> None:
    """Those that Cog makes are the time in nanoseconds, which two requests may share."""
    ids = {client.request_body({})["id"] for _ in range(100)}
    assert len(ids) == 100
    assert client.request_body({"prompt": "x"}, "mine") == {"id": "mine", "input": {"prompt": "x"}}


@pytest.mark.asyncio
async def test_a_prediction_is_what_completed_it_and_a_lost_stream_is_a_fault() -> None:
    async with client.crowd(1) as session:
        with saying(("output", {"chunk": "42"}), ("completed", COMPLETED)) as url:
            assert await client.predict(session, url, {}) == COMPLETED
        with (
            saying(("output", {"chunk": "4"}), ("error", {"error": "SSE stream lagged"})) as url,
            pytest.raises(httpx.RemoteProtocolError, match="before the prediction did: .*lagged"),
        ):
            await client.predict(session, url, {})
        with saying(("output", {"chunk": "4"})) as url, pytest.raises(httpx.RemoteProtocolError, match="did$"):
            await client.predict(session, url, {})


@pytest.mark.asyncio
async def test_one_connection_serves_many_predictions_and_one_that_breaks_after_the_end_loses_nothing() -> None:
    stream = f"event: completed\ndata: {json.dumps(COMPLETED)}\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for number in range(3):
            await reader.readuntil(b"{}}")  # {"input":{}}
            writer.write(head + b"%x\r\n%s\r\n" % (len(stream), stream))
            if number < 2:
                writer.write(b"0\r\n\r\n")
        writer.close()

    async with client.crowd(1) as session, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert [await client.predict(session, url, {}) for _ in range(3)] == [COMPLETED] * 3
    assert connections == 1


def test_samples_and_likelihoods_are_shown_in_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [{"seed": 5, "answer": "42", "text": "long"}, {"seed": 6, "answer": None, "text": "longer"}]
    tokens = [[{"token": "4", "logprob": -0.5}], [{"token": "2", "logprob": -1.5}, {"token": ".", "logprob": -0.25}]]
    with saying(("completed", COMPLETED | {"metrics": {"samples": samples, "token_logprobs": tokens}})) as url:
        assert client.show(url, {}) == 0
    assert [line.split(maxsplit=1) for line in capsys.readouterr().err.splitlines()] == [
        ["samples", "5: 42; 6: no answer"],
        ["token_logprobs", "3 tokens, -0.7500 on average"],
    ]
