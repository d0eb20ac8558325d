"""The same service, Predictor and HTTP API over a safetensors folder: the path that the GPU container takes."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from deepseek_math.local.client import Event, cancel, stream
from deepseek_math.local.server import LocalServer
from tests.support.tiny_llama import make_tiny_llama

TALK = {"temperature": 1.0, "max_new_tokens": 60}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    folder = make_tiny_llama(tmp_path_factory.mktemp("checkpoint") / "tiny")
    with LocalServer(environment={"CHECKPOINT": str(folder)}) as running:
        yield running


def predict(server: LocalServer, **inputs: Any) -> list[Event]:
    return list(stream(server.url, {"prompt": "What is 2 + 3?", **TALK} | inputs))


def text(events: list[Event]) -> str:
    return "".join(event.data["chunk"] for event in events if event.kind == "output")


def test_sixteen_streams_are_live_and_each_is_its_seed_s_own(tiny: LocalServer) -> None:
    alone = [text(predict(tiny, seed=seed)) for seed in range(4)]
    with ThreadPoolExecutor(16) as pool:
        streams = list(pool.map(lambda seed: predict(tiny, seed=seed), range(16)))
    assert [text(events) for events in streams[:4]] == alone
    assert len({text(events) for events in streams}) > 8
    for events in streams:
        final = events[-1].data
        assert final["status"] == "succeeded"
        assert (final["metrics"]["engine"], final["metrics"]["checkpoint"]) == ("transformers", "tiny")
        assert final["metrics"]["engine_settings"].endswith(", float32")
        assert sum(event.kind == "output" for event in events) > 2


def test_the_prompt_is_the_checkpoint_s_own_template_and_the_published_suffix(tiny: LocalServer) -> None:
    logs = predict(tiny, max_new_tokens=2)[-1].data["logs"]
    assert "User: What is 2 + 3?\nPlease reason step by step" in logs
    assert "\n\nAssistant:" in logs


def test_a_cancelled_prediction_ends_and_the_next_one_works(tiny: LocalServer) -> None:
    for event in stream(tiny.url, {"prompt": "x", **TALK, "max_new_tokens": 400, "mode": "chat"}, "leaving"):
        if event.kind == "output":
            cancel(tiny.url, "leaving")
    assert event.data["status"] == "canceled"
    assert predict(tiny)[-1].data["status"] == "succeeded"


def test_the_server_ends_by_itself_when_told_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The library's generation thread would keep the worker alive until it is killed."""
    folder = make_tiny_llama(tmp_path_factory.mktemp("ending") / "tiny")
    server = LocalServer(environment={"CHECKPOINT": str(folder)})
    with server:
        assert server.process is not None
        parent = psutil.Process(server.process.pid)
        children = parent.children(recursive=True)
        started = time.monotonic()
        parent.terminate()
        gone, alive = psutil.wait_procs([parent, *children], timeout=10)
    assert not alive, (
        f"{len(alive)} of {len(gone) + len(alive)} processes ran on for {time.monotonic() - started:.0f} s"
    )


def test_tool_mode_asks_in_the_published_words(tiny: LocalServer) -> None:
    final = predict(tiny, mode="tool", max_new_tokens=20)[-1].data
    assert final["status"] == "succeeded", final
    assert "Please integrate natural language reasoning with programs to solve the problem above" in final["logs"]
    assert final["metrics"]["tool_rounds"] == 0
