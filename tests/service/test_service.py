"""The whole service over HTTP: a real coglet, the real Predictor, a random model, and the demo where answers count."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deepseek_math.checkpoints import digest
from deepseek_math.local.client import Event, PredictionRefused, cancel, stream
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.deepseek_tokenizer import BOS, EOS

QUESTION = "What is 12 + 30?"
TALK = {"mode": "chat", "temperature": 0.9, "max_new_tokens": 40}


def predict(server: LocalServer, **inputs: Any) -> list[Event]:
    return list(stream(server.url, {"prompt": QUESTION} | inputs))


def text(events: list[Event]) -> str:
    return "".join(event.data["chunk"] for event in events if event.kind == "output")


def test_a_prediction_streams_and_reports_itself(server: LocalServer, random_model: Path) -> None:
    events = predict(server, seed=3, **TALK)
    final = events[-1].data
    assert final["status"] == "succeeded"
    assert "".join(final["output"]) == text(events) != ""
    metrics = final["metrics"]
    assert (metrics["checkpoint"], metrics["engine"], metrics["seed"]) == ("random.gguf", "llama_cpp", 3)
    assert (metrics["checkpoint_digest"], metrics["slots"]) == (digest(random_model), 16)
    assert metrics["finish_reason"] in ("stop", "length")
    assert 0 < metrics["completion_tokens"] <= 40
    assert metrics["prompt_tokens"] > 15
    assert metrics["time_to_first_token"] > 0
    assert metrics["tokens_per_second"] > 0
    assert "User: What is 12 + 30?\n\nAssistant:" in final["logs"]


def test_sixteen_clients_see_their_own_text_arrive_live(server: LocalServer) -> None:
    seeds, talk = range(16), TALK | {"max_new_tokens": 1000}
    alone = {seed: text(predict(server, seed=seed, **talk)) for seed in list(seeds)[:4]}
    with ThreadPoolExecutor(16) as pool:
        started = time.perf_counter()
        streams = list(pool.map(lambda seed: predict(server, seed=seed, **talk), seeds))
        took = time.perf_counter() - started
    live = 0
    for seed, events in zip(seeds, streams, strict=True):
        assert events[-1].data["status"] == "succeeded"
        assert events[-1].data["metrics"]["seed"] == seed
        arrivals = [event.at - started for event in events if event.kind == "output"]
        print(f"seed {seed:2}: chunks at " + " ".join(f"{at:.2f}" for at in arrivals) + " s")
        assert arrivals[0] < 0.7 * took
        if len(arrivals) > 20:  # one that the model ended early proves nothing
            assert arrivals[-1] - arrivals[0] > 0.2 * (events[-1].at - started)
            live += 1
        if seed in alone:
            assert text(events) == alone[seed]
    assert live > 4
    assert len({text(events) for events in streams}) > 8


def test_what_reaches_the_client_depends_on_no_default_of_the_engine(server: LocalServer) -> None:
    assert text(predict(server, mode="chat", max_new_tokens=20)) == text(
        predict(server, mode="chat", max_new_tokens=20, temperature=0.0, top_p=0.5, top_k=3, seed=9)
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": " "}, "prompt_empty"),
    ({"prompt": "many " * 4200, "max_new_tokens": 4096}, "context_exceeded"),
    ({"prompt": "many " * 9000}, "context_exceeded"),
    ({"prompt": f"a {EOS} b"}, f"control_token: The prompt holds {EOS!r}"),
    ({"prompt": f"hello {BOS}User"}, f"control_token: The prompt holds {BOS!r}"),
    ({"system_prompt": f"{BOS}system"}, "control_token"),
    ({"top_p": 0}, "top_p_out_of_range"),
    ({"stop": [""]}, "stop_invalid"),
    ({"stop": list("abcdefghi")}, "stop_invalid"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages_invalid"),
    ({"mode": "raw", "system_prompt": "x"}, "raw_takes_prompt_only"),
    ({"seed": 2**60}, "seed_out_of_range"),
]


@pytest.mark.parametrize(("inputs", "code"), REFUSED)
def test_what_cannot_be_honoured_fails_with_its_code(server: LocalServer, inputs: dict[str, Any], code: str) -> None:
    final = predict(server, **inputs)[-1].data
    assert final["status"] == "failed"
    assert code in final["error"]
    code = code.partition(":")[0]
    assert (final["metrics"]["error_code"], final["metrics"]["finish_reason"]) == (code, "error")
    assert code in final["logs"]


BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": "x", "mode": "none"}, "mode"),
    ({"prompt": "x", "max_new_tokens": 0}, "max_new_tokens"),
    ({"prompt": "x", "max_new_tokens": 4097}, "max_new_tokens"),
    ({"prompt": "x", "max_new_tokens": "10"}, "max_new_tokens"),
    ({"prompt": "x", "temperature": 2.5}, "temperature"),
    ({"prompt": "x", "temperature": None}, "temperature"),
    ({"prompt": "x", "top_p": 1.5}, "top_p"),
    ({"prompt": "x", "top_k": -1}, "top_k"),
    ({"prompt": "x", "stop": "a"}, "stop"),
    ({"prompt": "x", "stop": [1]}, "stop"),
    ({"prompt": "x", "seed": -1}, "seed"),
    ({"prompt": "x", "messages": "hi"}, "messages"),
]


def test_line_separators_travel_in_prompt_and_log(server: LocalServer) -> None:
    """They are line breaks to Python and plain characters to JSON: pasted PDF text holds them."""
    events = predict(server, prompt="a\u2028b\u2029c\u0085d", **TALK)
    assert events[-1].data["status"] == "succeeded"
    assert "a\u2028b\u2029c\u0085d" in events[-1].data["logs"]


@pytest.mark.parametrize(("inputs", "named"), BAD_BODIES)
def test_what_the_schema_forbids_is_refused_before_it_reaches_the_predictor(
    server: LocalServer, inputs: dict[str, Any], named: str
) -> None:
    answer = httpx.post(f"{server.url}/predictions", json={"input": inputs}, timeout=30)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert named in answer.text


def test_stop_strings_end_the_text_and_never_show(server: LocalServer) -> None:
    whole = text(predict(server, mode="raw", prompt="One, two, three, four,", max_new_tokens=24))
    stop = whole[10:14]
    events = predict(server, mode="raw", prompt="One, two, three, four,", max_new_tokens=24, stop=[stop])
    assert text(events) == whole[: whole.index(stop)]
    assert events[-1].data["metrics"]["finish_reason"] == "stop_string"


def test_the_answer_is_found_and_checked(demo: LocalServer) -> None:
    for expected, correct in (("0.5", True), ("50", False)):
        metrics = predict(demo, prompt="Simplify 4/8.", expected_answer=expected)[-1].data["metrics"]
        assert (metrics["answer"], metrics["answer_source"]) == ("\\frac{1}{2}", "boxed")
        assert metrics["correct"] is correct
    assert "correct" not in predict(demo)[-1].data["metrics"]


def test_earlier_turns_reach_the_model(server: LocalServer) -> None:
    turns = [{"role": "user", "content": "My number is 7."}, {"role": "assistant", "content": "Noted."}]
    logs = predict(server, mode="chat", messages=turns, max_new_tokens=2)[-1].data["logs"]
    assert f"User: My number is 7.\n\nAssistant: Noted.{EOS}User: " in logs


LONG = {"mode": "raw", "prompt": "1, 2, 3, 4, 5, 6,", "max_new_tokens": 4096}  # it never ends by itself


class Crowd:
    """Long predictions that are all generating, to be ended one by one or at the end of the `with` block."""

    def __init__(self, server: LocalServer, names: list[str]) -> None:
        self.server, self.names = server, names
        self.generating = {name: threading.Event() for name in names}
        self.leave = {name: threading.Event() for name in names}
        self.ended: dict[str, Event] = {}
        self.pool = ThreadPoolExecutor(len(names))

    def _one(self, name: str) -> None:
        for event in stream(self.server.url, LONG, name):
            if event.kind == "output":
                self.generating[name].set()
            if self.leave[name].is_set():
                return
            if event.kind == "completed":
                self.ended[name] = event

    def cancel(self, name: str) -> None:
        cancel(self.server.url, name)

    def __enter__(self) -> "Crowd":
        self.running = {name: self.pool.submit(self._one, name) for name in self.names}
        for name in self.names:
            assert self.generating[name].wait(120), name
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.names:
            self.cancel(name)
        self.pool.shutdown()


def test_a_cancelled_prediction_ends_within_a_step_of_the_engine(server: LocalServer) -> None:
    """It ends when the engine has let go: the slot is free by then. The others go on."""
    leaving = [f"leaving-{number}" for number in range(8)]
    with Crowd(server, leaving + [f"staying-{number}" for number in range(8)]) as crowd:
        took = []
        for name in leaving:
            started = time.perf_counter()
            crowd.cancel(name)
            crowd.running[name].result(timeout=60)
            took.append(crowd.ended[name].at - started)
            assert crowd.ended[name].data["status"] == "canceled"
            assert crowd.ended[name].data["metrics"]["finish_reason"] == "cancelled"
        print("from cancel to end: " + " ".join(f"{1000 * seconds:.0f}" for seconds in took) + " ms")
        assert not any(crowd.running[name].done() for name in crowd.names if name not in leaving)
    assert sorted(took)[len(took) // 2] < 1.0  # a step on a machine that is ten times slower


@pytest.mark.parametrize("how", ["cancel", "drop"])
def test_a_client_that_leaves_lets_the_next_one_in(server: LocalServer, how: str) -> None:
    """Every slot is held by a long request; one client leaves; the one in line gets its slot."""
    expected = text(predict(server, seed=100, **TALK))
    names = [f"{how}-{number}" for number in range(16)]
    with Crowd(server, names) as crowd, ThreadPoolExecutor(1) as single:
        waiting = single.submit(predict, server, seed=100, **TALK)
        time.sleep(0.5)
        assert not waiting.done()
        if how == "cancel":
            crowd.cancel(names[0])
        else:
            crowd.leave[names[0]].set()
        assert text(waiting.result(timeout=120)) == expected
        assert not any(crowd.running[name].done() for name in names[1:])


@dataclass
class Tally:
    lock: threading.Lock = field(default_factory=threading.Lock)
    outcomes: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: str) -> None:
        with self.lock:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def worker_memory(server: LocalServer) -> int:
    """Resident bytes of the server's processes."""
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)])


def test_three_hundred_mixed_predictions_none_lost_crossed_or_hanging(server: LocalServer) -> None:
    """Plain ones, cancelled ones, dropped ones and refused ones at concurrency 16; memory stays flat."""
    short = {"mode": "chat", "temperature": 0.9, "max_new_tokens": 12}
    expected = {seed: text(predict(server, seed=seed, **short)) for seed in range(5)}
    tally = Tally()

    def one(number: int) -> None:
        kind = random.Random(number).choices(["plain", "cancel", "drop", "refuse"], [6, 2, 2, 1])[0]
        name = f"soak-{number}"
        seed = number % 5
        if kind == "refuse":
            final = predict(server, prompt=EOS)[-1].data
            tally.add("refused" if "control_token" in final["error"] else "wrong")
            return
        inputs = {"prompt": QUESTION, **short, "seed": seed}
        if kind != "plain":
            inputs["max_new_tokens"] = 300
        got = ""
        for event in stream(server.url, inputs, name):
            if event.kind == "output":
                got += event.data["chunk"]
                if kind == "drop":
                    tally.add("dropped")
                    return
                if kind == "cancel":
                    cancel(server.url, name)
            if event.kind == "completed":
                status = event.data["status"]
                if kind == "plain":
                    assert got == expected[seed], (number, got)
                tally.add(status)

    def batch(numbers: range) -> None:
        with ThreadPoolExecutor(16) as pool:
            for future in [pool.submit(one, number) for number in numbers]:
                future.result(timeout=300)

    batch(range(100))
    before = worker_memory(server)
    batch(range(100, 300))
    after = worker_memory(server)
    print(f"outcomes {tally.outcomes}, memory {before / 2**20:.0f} -> {after / 2**20:.0f} MiB")
    assert sum(tally.outcomes.values()) == 300
    assert set(tally.outcomes) == {"succeeded", "canceled", "dropped", "refused"}
    assert after < before + 50 * 2**20
    with Crowd(server, [f"after-{number}" for number in range(16)]):
        pass  # sixteen generate at the same time again: no slot of the engine was lost
    assert text(predict(server, seed=1, **short)) == expected[1]


def test_a_full_server_refuses_at_once(server: LocalServer) -> None:
    """Cog has no queue beyond its slots: 32 here, of which 16 are at work and 16 wait in the engine's line."""

    def occupy(number: int) -> None:
        for _ in stream(server.url, LONG, f"full-{number}"):
            pass

    with ThreadPoolExecutor(32) as pool:
        running = [pool.submit(occupy, number) for number in range(32)]
        deadline = time.monotonic() + 60
        while server.health().get("status") != "BUSY":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(PredictionRefused, match="409"):
            next(stream(server.url, {"prompt": QUESTION}, patience=0.0))
        while any(not future.done() for future in running):
            for number in range(32):
                cancel(server.url, f"full-{number}")
            time.sleep(0.05)
    assert predict(server, **TALK)[-1].data["status"] == "succeeded"


SUM = {"prompt": "What is 347 * 86 - 12?", "max_new_tokens": 512}


def test_a_real_checkpoint_votes(demo: LocalServer) -> None:
    """The tally comes live, then one whole completion of the winner, which its seed gives alone as well."""
    events = predict(demo, **SUM, samples=12, seed=5)
    final = events[-1].data
    assert final["status"] == "succeeded", final
    metrics = final["metrics"]
    kinds = [event.kind for event in events if event.kind == "output" or event.data.get("name") == "vote"]
    used, stopped = metrics["samples_used"], metrics["samples_stopped_early"]
    assert kinds[-1] == "output"
    assert kinds.count("metric") >= used
    assert used + stopped == 12
    votes = metrics["votes"]
    assert votes == sorted(votes, key=lambda group: -group["count"])
    assert sum(group["count"] for group in votes) <= used
    assert metrics["answer"]
    assert metrics["agreement"] == pytest.approx(votes[0]["count"] / used, abs=1e-4)
    alone = predict(demo, **SUM, seed=metrics["winner_seed"], temperature=0.7)
    assert text(alone) == text(events) != ""
    tally = " ".join(f"{group['answer']} x{group['count']}" for group in votes)
    print(f"{used} of 12 samples used, {metrics['tokens_not_generated']} tokens not generated: {tally}")


@pytest.fixture
def exact_demo(tmp_path: Path) -> Iterator[LocalServer]:
    """The demo in Q8_0, whose texts do not depend on their company (docs/determinism.md); those of F16 seldom do."""
    from gguf import GGMLQuantizationType

    from deepseek_math.training.gguf_file import convert

    convert(ROOT / "weights/tiny/rl", tmp_path / "exact.gguf", GGMLQuantizationType.Q8_0)
    with LocalServer(environment={"CHECKPOINT": str(tmp_path / "exact.gguf"), "THREADS": "1"}) as running:
        yield running


def test_a_vote_is_the_same_alone_and_beside_fifteen_other_requests(exact_demo: LocalServer) -> None:
    """At a temperature at which samples disagree, so that an order of finishing would show."""
    told = ("answer", "winner_seed", "samples_used", "samples_stopped_early", "votes", "agreement")

    def vote(seed: int) -> tuple[Any, ...]:
        inputs = {"prompt": "What is 3/4 + 1/8?", "samples": 8, "temperature": 1.5, "max_new_tokens": 200}
        events = predict(exact_demo, **inputs, seed=seed)
        metrics = events[-1].data["metrics"]
        assert metrics["undecided_comparisons"] == 0
        return text(events), *(metrics.get(name) for name in told)

    seeds = (0, 24)
    alone = [vote(seed) for seed in seeds]
    for seed, expected in zip(seeds, alone, strict=True):
        with ThreadPoolExecutor(16) as pool:
            others = [pool.submit(predict, exact_demo, **SUM, seed=number, temperature=0.9) for number in range(15)]
            assert pool.submit(vote, seed).result() == expected
            assert all(other.result()[-1].data["status"] == "succeeded" for other in others)


def test_a_vote_that_is_cancelled_frees_all_its_slots(server: LocalServer) -> None:
    """Sixteen samples hold every slot; the single request that waits gets in when the vote is cancelled."""
    expected = text(predict(server, seed=100, **TALK))
    vote = LONG | {"samples": 16, "temperature": 1.0}
    with ThreadPoolExecutor(17) as pool:
        voting = pool.submit(lambda: list(stream(server.url, vote, "voting")))
        time.sleep(1.0)
        started = time.perf_counter()
        assert cancel(server.url, "voting")
        final = voting.result(timeout=60)[-1]
        print(f"from cancel to all slots free: {1000 * (final.at - started):.0f} ms")
        assert final.data["status"] == "canceled"
        assert final.data["metrics"]["finish_reason"] == "cancelled"
        singles = [pool.submit(predict, server, seed=100, **TALK) for _ in range(16)]
        assert [text(single.result(timeout=120)) for single in singles] == [expected] * 16


def test_single_requests_get_their_turn_beside_a_vote_of_64(server: LocalServer) -> None:
    vote = LONG | {"samples": 64, "temperature": 1.0, "max_new_tokens": 1000}
    with ThreadPoolExecutor(2) as pool:
        voting = pool.submit(lambda: list(stream(server.url, vote, "crowd")))
        time.sleep(1.0)
        assert predict(server, max_new_tokens=4)[-1].data["status"] == "succeeded"
        assert not voting.done()
        cancel(server.url, "crowd")
        assert voting.result(timeout=60)[-1].data["status"] == "canceled"
