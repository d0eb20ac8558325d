"""The remote engine and servers that fail, refuse, or are of another kind than they should be."""

import asyncio
import email.utils
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.engines.protocol import Delta
from deepseek_math.engines.registry import open_engine
from deepseek_math.engines.remote import completions_client as completions_server
from deepseek_math.engines.remote import engine as remote
from deepseek_math.engines.remote import waiting
from deepseek_math.engines.remote.dialects import LLAMA_CPP, PLAIN, VLLM
from deepseek_math.engines.remote.engine import RemoteEngine
from deepseek_math.engines.remote.handshake import SAMPLE
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings
from tests.support.hostile_completions import Event, HostileCompletions, Play, plain, vllm
from tests.support.loopback import LoopbackServer, over_tls, running
from tests.support.tiny_llama import make_tiny_llama

PROMPT = [5, 6, 7]
WARM = Sampling(max_new_tokens=16, temperature=0.7, seed=3)
GOOD = vllm("four", "ty", "-two", "", prompt=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without its weights."""
    path = make_tiny_llama(tmp_path_factory.mktemp("tokenizer"))
    (path / "model.safetensors").unlink()
    return path


@pytest.fixture
def server() -> Iterator[HostileCompletions]:
    with running(HostileCompletions(text=SAMPLE)) as server:
        yield server


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions_server, "RETRY", replace(completions_server.RETRY, first_wait=0.01))
    monkeypatch.setattr(remote, "TICK", 0.05)


@asynccontextmanager
async def opened(folder: Path, server: HostileCompletions, **options: Any) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(folder, engine_url=server.url, **options)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def deltas(engine: RemoteEngine, sampling: Sampling = WARM) -> list[Delta]:
    async with aclosing(engine.generate(PROMPT, sampling)) as stream:
        return [delta async for delta in stream if delta.text or delta.finish]


async def text(engine: RemoteEngine) -> str:
    return "".join(delta.text for delta in await deltas(engine))


# Faults that may pass

PASSING = [
    Play(end="drop"),
    Play(end="close"),
    Play(GOOD[:0], status=500, body='{"error": {"message": "no"}}'),
    Play(status=502, body="<html>bad gateway</html>"),
    Play(status=524, body="<html>a gateway's own number</html>"),
    Play(status=503, headers={"Retry-After": "0"}, body='{"error": "loading"}'),
    Play(status=429, headers={"Retry-After": "Sun, 22 Nov 2020 08:00:00 GMT"}),
    Play([{"choices": [], "usage": None}], end="drop"),
]


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_before_the_first_token_is_not_seen_by_the_client(
    folder: Path, server: HostileCompletions, fault: Play
) -> None:
    async with opened(folder, server) as engine:
        server.plays = [fault, fault]
        assert await text(engine) == "fourty-two"
        assert len(server.bodies) == 3
        assert server.bodies[0] == server.bodies[2]


@pytest.mark.parametrize(
    ("fault", "code"), [(PASSING[0], "engine_unreachable"), (PASSING[2], "engine_failed"), (PASSING[6], "engine_busy")]
)
async def test_attempts_are_bounded(folder: Path, server: HostileCompletions, fault: Play, code: str) -> None:
    async with opened(folder, server) as engine:
        server.always = fault
        with pytest.raises(ServiceError, match=code):
            await deltas(engine)
        assert len(server.bodies) == completions_server.RETRY.attempts
        server.always = None
        assert await text(engine) == "fourty-two"


async def test_a_server_that_says_when_to_come_again_is_obeyed(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, sleep = [], asyncio.sleep

    async def recording(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async with opened(folder, server) as engine:
        date = email.utils.formatdate(time.time() + 12, usegmt=True)
        for asked in (["7", date, "soon"], ["4000", "Fri, 31 Dec 2100 23:59:59 GMT", "0"]):
            server.plays = [Play(status=503, headers={"Retry-After": value}) for value in asked]
            with monkeypatch.context() as recorded:
                recorded.setattr(asyncio, "sleep", recording)
                assert await text(engine) == "fourty-two"
    retry = completions_server.RETRY
    assert waits == [7.0, pytest.approx(12.0, abs=5.0), retry.wait(3), retry.longest_wait, retry.longest_wait, 0.0]


async def test_a_server_that_is_full_and_says_so_by_its_health_too_is_waited_for(
    folder: Path, server: HostileCompletions
) -> None:
    """The pause it asks for lasts twenty ticks."""
    async with opened(folder, server) as engine:
        server.plays = [Play(status=503, headers={"Retry-After": "1"})]
        server.health = 503
        assert await text(engine) == "fourty-two"


@pytest.mark.parametrize("end", ["drop", "close"])
async def test_a_drop_amid_the_text_is_an_error_and_nothing_is_said_twice(
    folder: Path, server: HostileCompletions, end: str
) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play(GOOD[:2], end=end)]
        said = []

        async def listen() -> None:
            async for delta in engine.generate(PROMPT, WARM):
                said.append(delta.text)

        with pytest.raises(ServiceError, match="engine_unreachable: .*broke off"):
            await listen()
        assert "".join(said) == "fourty"
        assert len(server.bodies) == 1
        assert await text(engine) == "fourty-two"


# A server that is not ready yet


async def test_a_server_that_comes_late_is_waited_for_and_its_state_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """First nobody is there, then it loads as llama-server does, then a proxy does not reach it, then it is ready."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    with running(HostileCompletions()) as gone:
        url, port = gone.url, gone.server_address[1]
    engine = RemoteEngine(folder, engine_url=url)
    starting = asyncio.create_task(engine.start())
    await told(
        caplog, f"waiting for {url.removeprefix('http://')}, 0 s so far: no answer (All connection attempts failed)"
    )
    assert not await engine.healthy()
    with running(HostileCompletions(text=SAMPLE, port=port)) as server:
        server.healths = [503] * 30
        server.models, models = [], server.models
        await told(caplog, "s so far: HTTP 503")
        server.healths, server.models = [], models
        await asyncio.wait_for(starting, 30)
        assert await text(engine) == "fourty-two"
        await engine.close()
    assert "Is it running, and is ENGINE_URL right?" in caplog.text


async def told(caplog: pytest.LogCaptureFixture, line: str) -> None:
    async with asyncio.timeout(30):
        while line not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_state_that_lasts_is_told_now_and_then(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    server.healths = [503] * 20
    async with opened(folder, server):
        assert caplog.text.count("waiting for") == 1
    monkeypatch.setattr(waiting, "TELL", 0.0)
    server.healths = [503] * 20
    async with opened(folder, server):
        assert caplog.text.count("waiting for") == 21


async def test_completions_that_are_busy_at_the_start_are_waited_for_and_ones_that_fail_are_not(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a router's are, whose own health is good while its model loads."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    attempts = completions_server.RETRY.attempts or 0
    server.probes = [Play(status=503, body='{"error": {"message": "Loading model."}}')] * (attempts + 1)
    async with opened(folder, server):
        assert "is overloaded (HTTP 503: Loading model)" in caplog.text
    server.probes = [Play(status=500)] * attempts
    with pytest.raises(ServiceError, match="engine_failed: .*HTTP 500"):
        async with opened(folder, server):
            pass


async def test_a_certificate_that_is_not_trusted_is_not_waited_for(folder: Path) -> None:
    with running(over_tls(LoopbackServer(BaseHTTPRequestHandler))) as server:
        engine = RemoteEngine(folder, engine_url=f"https://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(ServiceError, match="engine_refused: .* is not trusted here .*CERTIFICATE_VERIFY_FAILED"):
            await asyncio.wait_for(engine.start(), 30)
        await engine.close()


# Silence


async def test_a_long_line_is_waited_for_while_the_server_is_well(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play([1.0, *GOOD])]
        signs = [delta async for delta in engine.generate(PROMPT, WARM)]
        assert (signs[0].text, signs[0].tokens) == ("", 0)
        assert "".join(delta.text for delta in signs) == "fourty-two"


async def test_silence_before_the_first_token_ends(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_SECONDS", 0.3)
    async with opened(folder, server) as engine:
        server.plays = [Play(end="stall")]
        with pytest.raises(ServiceError, match="engine_stalled"):
            await asyncio.wait_for(deltas(engine), 20)
        assert await asyncio.to_thread(server.left.wait, 10)


async def test_silence_between_two_tokens_ends_sooner(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BETWEEN_SECONDS", 0.1)
    async with opened(folder, server) as engine:
        server.plays = [Play(GOOD[:1], end="stall")]
        with pytest.raises(ServiceError, match="engine_stalled"):
            await asyncio.wait_for(deltas(engine), 20)


async def test_a_silent_server_that_is_not_well_is_given_up(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play(end="stall")]
        server.health = 503
        with pytest.raises(ServiceError, match="engine_unreachable: .*silent"):
            await asyncio.wait_for(deltas(engine), 20)
        assert not await engine.healthy()


async def test_one_late_answer_about_its_health_ends_no_stream(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play([GOOD[0], 0.5, *GOOD[1:]])]
        server.healths = [503, 200, 503]
        assert await text(engine) == "fourty-two"
        assert len(server.healths) < 2


async def test_predictions_in_turn_take_one_connection(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "TICK", 15.0)  # a look at its health may take another
    async with opened(folder, server) as engine:
        before = server.connections
        for _ in range(8):
            assert await text(engine) == "fourty-two"
        assert server.connections == before


async def test_a_stream_that_never_ends_after_its_last_word_is_whole(
    folder: Path, server: HostileCompletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions_server, "END_SECONDS", 0.1)
    async with opened(folder, server) as engine:
        for end in ("stall", "drop"):
            server.plays = [Play([*GOOD, "data: [DONE]\n\n"], end=end)]
            assert await asyncio.wait_for(text(engine), 30) == "fourty-two"


async def test_closing_a_stream_closes_the_connection(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine:
        for events in (GOOD[:1], []):
            server.left.clear()
            server.plays = [Play(events, end="stall")]
            stream = engine.generate(PROMPT, WARM)
            await anext(stream)
            await stream.aclose()
            assert await asyncio.to_thread(server.left.wait, 10)


# Refusals

REFUSALS: list[tuple[Play, str]] = [
    (Play(status=401, body='{"error": {"message": "Invalid API Key"}}'), "engine_refused: .*a request without a key"),
    (Play(status=403), "engine_refused"),
    (Play(status=404, body='{"error": {"message": "no such model"}}'), "engine_refused: .*It has: math.*ENGINE_MODEL"),
    (Play(status=400, body='{"error": {"message": "too long, cancelled"}}'), "engine_refused: .*too long, canceled"),
    (Play(status=422, body='{"detail": [{"loc": ["body"], "msg": "bad"}]}'), "engine_refused: .*bad"),
    (Play(status=307, headers={"Location": "/elsewhere"}), "engine_refused: .*307"),
]


@pytest.mark.parametrize(("refusal", "message"), REFUSALS)
async def test_a_refusal_is_told_in_the_server_s_words_and_not_tried_again(
    folder: Path, server: HostileCompletions, refusal: Play, message: str
) -> None:
    async with opened(folder, server) as engine:
        server.plays = [refusal]
        with pytest.raises(ServiceError, match=message):
            await deltas(engine)
        assert len(server.bodies) == 1
        assert await text(engine) == "fourty-two"


MALFORMED: list[Event] = [
    "data: {\n\n",
    "data: [1]\n\n",
    "data: 42\n\n",
    {"choices": 5},
    {"choices": [7]},
    {},
    {"choices": [{"text": "x"}], "usage": {"completion_tokens": "many"}},
    {"choices": [{"text": "x", "logprobs": {"content": [{}]}}]},
    {"choices": [{"text": "x", "finish_reason": "abort"}]},
    {"error": {"message": "engine died", "code": 500}},
    {"error": "engine died"},
    {"object": "x"},
    {"choices": [{"text": "x"}], "usage": {"completion_tokens": float("inf"), "prompt_tokens": 1}},
    "data: " + "[" * 100_000 + "\n\n",
]


@pytest.mark.parametrize("event", MALFORMED)
async def test_an_event_that_is_none_of_a_completion_is_an_error(
    folder: Path, server: HostileCompletions, event: Event
) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play([GOOD[0], event])]
        with pytest.raises(ServiceError, match="engine_failed"):
            await asyncio.wait_for(deltas(engine), 10)
        assert await text(engine) == "fourty-two"


@pytest.mark.parametrize("event", [*MALFORMED, {"choices": None, "usage": 5}])
async def test_a_probe_that_is_answered_by_none_of_a_completion_is_an_error(
    folder: Path, server: HostileCompletions, event: Event
) -> None:
    server.probes = [Play([event])]
    with pytest.raises(ServiceError, match="engine_failed"):
        async with opened(folder, server):
            pass


async def test_a_chunk_without_choices_is_no_fault(folder: Path, server: HostileCompletions) -> None:
    server.probes = [Play([{"choices": None}, *vllm(*"abcd", finish="length")])]
    server.text = None
    with pytest.raises(ServiceError, match="engine_unusable: .*counted 0 tokens"):
        async with opened(folder, server):
            pass


async def test_a_web_page_is_no_completion(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine:
        server.plays = [Play(["<html>hello</html>"], end="close", kind="text/html")]
        with pytest.raises(ServiceError, match="engine_failed: .*text/html.*ENGINE_URL"):
            await deltas(engine)


async def test_the_key_is_sent_and_shown_nowhere(
    folder: Path, server: HostileCompletions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(folder, server, engine_api_key="secret-7") as engine:
        server.plays = [Play(status=401)]
        with pytest.raises(ServiceError, match="the key in ENGINE_API_KEY") as refused:
            await deltas(engine)
        assert set(server.keys) == {"Bearer secret-7"}
        assert "secret-7" not in str(refused.value) + repr(engine.__dict__)
        assert not any("secret-7" in record.getMessage() for record in caplog.records)


REPEATED = [
    Play(status=401, body='{"error": {"message": "wrong key: secret-7"}}'),
    Play(status=400, body=f"{'x' * 294} secret-7"),
    Play([{"error": {"message": "no tokens left for secret-7"}}]),
    Play([{"object": "secret-7"}]),
    Play(["data: secret-7\n\n"]),
    Play(["data: [7, 'secret-7']\n\n"]),
    Play([], kind="secret-7/html"),
]


@pytest.mark.parametrize("play", REPEATED)
async def test_a_key_that_the_server_repeats_is_not_shown(folder: Path, server: HostileCompletions, play: Play) -> None:
    async with opened(folder, server, engine_api_key="secret-7") as engine:
        server.plays = [play]
        with pytest.raises(ServiceError) as refused:
            await deltas(engine)
        assert "secr" not in str(refused.value)


# What the server is, found out at the start


async def test_the_only_model_is_taken_and_its_context_where_it_is_smaller(
    folder: Path, server: HostileCompletions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.models = [{"id": "math", "max_model_len": 300}]
    async with opened(folder, server) as engine:
        await deltas(engine)
        assert (engine.context, engine.gate.slots, engine.gate.tokens) == (300, 64, 64 * 300)
    assert server.bodies[0]["model"] == "math"
    assert "a vLLM server with the model math; prompts go as token ids" in caplog.text
    server.models = [{"id": "math", "max_model_len": 4096}]
    async with opened(folder, server, context=200) as engine:
        assert engine.context == 200
    with pytest.raises(ServiceError, match="setting_invalid: CONTEXT is 1000 tokens.*512.*4096"):
        async with opened(folder, server, context=1000):
            pass


@pytest.mark.parametrize("listed", [["a", "b"], []])
async def test_which_model_is_meant_must_be_plain(folder: Path, server: HostileCompletions, listed: list[str]) -> None:
    server.models = [{"id": name} for name in listed]
    with pytest.raises(ServiceError, match=f"engine_refused: .*lists {len(listed)} models, not 1.*ENGINE_MODEL"):
        async with opened(folder, server):
            pass
    if listed:
        with pytest.raises(ServiceError, match="engine_refused: .*no model 'c'.*: a, b"):
            async with opened(folder, server, engine_model="c"):
                pass
    async with opened(folder, server, engine_model="b") as engine:
        await deltas(engine)
    assert server.bodies[0]["model"] == "b"


@pytest.mark.parametrize(
    "card",
    [{"max_model_len": "x"}, {"meta": [1]}, {"aliases": 5}, {"max_model_len": [4096]}, {"meta": {"n_ctx": {"all": 1}}}],
)
async def test_a_model_s_card_that_says_nothing_sensible_is_an_error(
    folder: Path, server: HostileCompletions, card: dict[str, Any]
) -> None:
    server.models = [{"id": "math"} | card]
    with pytest.raises(ServiceError, match="engine_failed: .*ENGINE_URL"):
        async with opened(folder, server):
            pass


async def test_a_model_without_aliases_is_found(folder: Path, server: HostileCompletions) -> None:
    server.models = [{"id": "math", "aliases": None, "meta": None}]
    async with opened(folder, server) as engine:
        assert await text(engine) == "fourty-two"


async def test_a_server_that_takes_text_alone_is_refused_with_the_way_out(
    folder: Path, server: HostileCompletions
) -> None:
    """What Ollama answers to token ids: its field is a string."""
    said = "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string"
    server.probes = [Play(status=400, body=json.dumps({"error": {"message": said}}))] * 2
    with pytest.raises(ServiceError, match="engine_unusable: .*cannot unmarshal array.*text alone.*llama-server"):
        async with opened(folder, server):
            pass


async def test_a_server_that_adds_a_token_to_the_prompt_is_refused(folder: Path, server: HostileCompletions) -> None:
    server.probes = [Play(vllm("a", "b", prompt=1000))]
    with pytest.raises(ServiceError, match="engine_unusable: .*counted 1000 tokens where [0-9]+ were sent"):
        async with opened(folder, server):
            pass


async def test_a_checkpoint_without_a_tokenizer_is_refused(server: HostileCompletions, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable: The tokenizer of"):
        async with opened(tmp_path, server):
            pass


def test_a_package_that_the_tokenizer_needs_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, "deepseek_math.engines.hf.tokenizer", raising=False)
    with pytest.raises(ServiceError, match="package_missing: .*a server elsewhere, which needs the package tokenizers"):
        open_engine(folder, None, Settings(engine_url="http://127.0.0.1:1"))


async def test_another_vocabulary_is_refused_and_one_that_is_not_told_is_said(
    folder: Path, server: HostileCompletions, caplog: pytest.LogCaptureFixture
) -> None:
    server.text = "Hva er 12 + 30?"
    with pytest.raises(ServiceError, match="engine_unusable: .*Hva er.*another vocabulary.*CHECKPOINT"):
        async with opened(folder, server):
            pass
    assert server.completions == 0
    server.text = None
    async with opened(folder, server):
        assert "NOT checked whether its vocabulary is the checkpoint's" in caplog.text


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_a_vocabulary_that_lacks_the_checkpoint_s_tokens_is_another_one(
    folder: Path, server: HostileCompletions, status: int
) -> None:
    """llama-server answers 500: `__n (which is 100000) >= this->size() (which is 1280)`."""
    server.detokenizes = Play(status=status, body='{"error": {"message": "token 100000 is out of range."}}')
    with pytest.raises(ServiceError) as refused:
        async with opened(folder, server):
            pass
    assert refused.value.code == "engine_unusable"
    assert f"can't read (HTTP {status}: token 100000 is out of range): its model math has another" in str(refused.value)
    assert server.completions == 0


@pytest.mark.parametrize("finish", ["length", "stop"])
async def test_a_server_s_lower_limit_is_found_out_and_is_no_end_at_ours(
    folder: Path, server: HostileCompletions, finish: str
) -> None:
    """As vLLM has it with `--override-generation-config '{"max_new_tokens": 3}'`: no word of it in its answers."""
    async with opened(folder, server) as engine:
        server.always = Play(vllm("a", "b", "c", finish=finish, prompt=3))
        if finish == "stop":
            assert (await deltas(engine))[-1].finish == "stop"
            return
        said = []

        async def listen() -> None:
            async for delta in engine.generate(PROMPT, WARM):
                said.append(delta)

        with pytest.raises(ServiceError, match="engine_refused: .*after 3 of 16 tokens: it has a lower limit"):
            await listen()
        assert "".join(delta.text for delta in said) == "abc"
        assert {delta.finish for delta in said} == {None}
        assert (await deltas(engine, replace(WARM, max_new_tokens=3)))[-1].finish == "length"
        edge = replace(WARM, max_new_tokens=engine.context - len(PROMPT))
        server.always = Play(vllm(*["a"] * (edge.max_new_tokens - 1), finish="length", prompt=3))
        assert (await deltas(engine, edge))[-1].finish == "length"  # some count the context's end otherwise


SENTENCES = [
    Play(status=400, body='{"error": {"message": "No such thing."}}'),
    Play(status=500, body='{"error": {"message": "Sorry!"}}'),
    Play(status=404, body='{"error": {"message": "Not here?"}}'),
    Play([{"error": {"message": "The engine died."}}]),
]


@pytest.mark.parametrize("play", SENTENCES)
async def test_another_s_sentence_ends_once(folder: Path, server: HostileCompletions, play: Play) -> None:
    async with opened(folder, server) as engine:
        server.always = play
        with pytest.raises(ServiceError) as refused:
            await deltas(engine)
        assert not re.search(r"[.!?:;,][).]? ?[.!?]( |$)", refused.value.message.replace("ENGINE_URL right?", ""))


async def test_a_server_that_tells_no_context_is_said(
    folder: Path, server: HostileCompletions, caplog: pytest.LogCaptureFixture
) -> None:
    server.models = [{"id": "math"}]
    async with opened(folder, server) as engine:
        assert engine.context == 512
        assert "does not tell its context" in caplog.text


# vLLM's wire format, by its source: no vLLM runs here


async def test_vllm_is_told_everything_that_its_operator_may_have_set_otherwise(
    folder: Path, server: HostileCompletions
) -> None:
    async with opened(folder, server) as engine:
        await deltas(engine, replace(WARM, seed=2**53 - 1, logprobs=True))
        await deltas(engine, replace(WARM, top_k=7, temperature=0.0))
        await deltas(engine, replace(WARM, top_k=2**40))
    first, second, third = server.bodies
    assert first == {
        "model": "math",
        "prompt": PROMPT,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": 16,
        "temperature": 0.7,
        "top_p": 0.95,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 2**53 - 1,
        "logprobs": 0,
    }
    assert (second["top_k"], second["temperature"], third["top_k"]) == (7, 0.0, -1)


async def test_vllm_s_counts_are_exact_whatever_the_chunks(folder: Path, server: HostileCompletions) -> None:
    numbers = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{}], "text_offset": [0]}
    merged = vllm("a", "b", "c", "d", "", prompt=3, logprobs=numbers)
    async with opened(folder, server) as engine:
        server.plays = [Play([merged[0], *merged[3:]]), Play(vllm("a", "b\ufffd", finish="length", prompt=3))]
        found = await deltas(engine)
        assert [(delta.text, delta.tokens, delta.finish) for delta in found] == [
            ("a", 1, None),
            ("d", 4, None),
            ("", 4, "stop"),
        ]
        assert found[0].logprobs == (-0.5,)
        cut = await deltas(engine, replace(WARM, max_new_tokens=2))
        assert [(delta.text, delta.tokens, delta.finish) for delta in cut] == [("a", 1, None), ("b", 2, "length")]


async def test_vllm_reads_a_shared_prompt_ahead(folder: Path, server: HostileCompletions) -> None:
    async with opened(folder, server) as engine, aclosing(engine.share(PROMPT)) as shared:
        assert [delta.finish async for delta in shared][-1] == "stop"
    assert [body["max_tokens"] for body in server.bodies] == [1]


async def test_a_plain_server_gets_openai_s_fields_and_its_count_is_right_at_the_end(
    folder: Path, server: HostileCompletions
) -> None:
    server.speak = plain
    async with opened(folder, server) as engine:
        server.plays = [Play(plain("fourty", "-two", prompt=3))]
        found = await deltas(engine)
        assert [(delta.text, delta.tokens, delta.finish) for delta in found] == [
            ("fourty", 1, None),
            ("-two", 2, None),
            ("", 2, "stop"),
        ]
        server.plays = [Play([event for event in plain("fourty", "-two") if "usage" not in str(event)])]
        assert [delta.tokens for delta in await deltas(engine)] == [1, 2, 2]
        assert not {"top_k", "min_p", "samplers", "repetition_penalty"} & set(server.bodies[0])
        with pytest.raises(ServiceError, match="engine_refused: .*top_k is 5"):
            await deltas(engine, replace(WARM, top_k=5))
        assert await deltas(engine, replace(WARM, top_k=5, temperature=0.0))
        with_strict = Play(status=400, body='{"error": {"message": "Unknown field samplers"}}')
        server.bodies.clear()
        server.probes = [with_strict]
        async with opened(folder, server) as strict:
            assert await text(strict) == "fourty-two"


def test_greedy_requests_have_llama_cpp_sort_nothing_and_change_for_no_other() -> None:
    greedy = replace(WARM, temperature=0.0, top_p=0.9)
    asked = LLAMA_CPP.body("m", [1], greedy)
    assert (asked["samplers"], asked["top_k"]) == (["top_k"], 1)
    assert "top_p" in LLAMA_CPP.body("m", [1], replace(greedy, temperature=0.5))["samplers"]
    for other in (VLLM, PLAIN):
        assert other.body("m", [1], greedy) == other.body("m", [1], replace(greedy, temperature=0.5)) | {
            "temperature": 0.0
        }


def test_a_safetensors_checkpoint_needs_only_what_make_serve_installs(folder: Path, server: HostileCompletions) -> None:
    assert "tokenizers==" in (ROOT / "requirements/run.txt").read_text()
    program = f"""
import asyncio, sys
sys.modules["torch"] = sys.modules["transformers"] = sys.modules["xllamacpp"] = None
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from deepseek_math.engines.registry import open_engine
from deepseek_math.settings import Settings
async def main():
    engine = open_engine(Path({str(folder)!r}), None, Settings(engine_url={server.url!r}))
    await engine.start()
    print(engine.context, await engine.tokenizer.encode("ab", control=False))
    await engine.close()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("512 [")
