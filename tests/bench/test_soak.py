"""`dsm bench soak` and `dsm bench stops`: what they find on the demo in seconds, and that each fault is one."""

import json
import threading
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from deepseek_math.bench import soak, stops, traffic
from deepseek_math.bench.soak import Look, Soak, failings, unaccounted
from deepseek_math.bench.stops import Row, kept
from deepseek_math.bench.traffic import KINDS, Sender, Unexpected
from deepseek_math.bench.webhook_receiver import WebhookReceiver, receiving
from deepseek_math.local.server import LocalServer

LOOK = Look(memory_mib=600.0, descriptors=200, threads=70, files=1)
ROW = Row(stops=60, canceled=60, ran_on=0, mean_cost=0.01, highest_cost=0.02, longest_seconds=0.5)


def sender(receiver: WebhookReceiver, url: str = "") -> Sender:
    return Sender(url, receiver, Random(0), {}, threading.Lock(), "client")


def test_a_short_soak_of_the_demo_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(soak, "CYCLE", 2.0)
    monkeypatch.setenv("CHECKPOINT", "demo")
    assert soak.main(["--minutes", "0.01", "--clients", "3"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert sum(found["sent"].values()) > 10
    assert (found["wrong"], found["unaccounted"], found["tracebacks"], len(found["looks"])) == ({}, 0, 0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_ends_as_it_must_on_a_real_server(demo: LocalServer, kind: str) -> None:
    with receiving() as receiver:
        one = sender(receiver, demo.url)
        for _ in range(3):
            KINDS[kind][0](one)
    assert one.sent == 3


def test_an_equal_request_that_is_answered_otherwise_is_a_fault() -> None:
    one = sender(WebhookReceiver())
    ended: dict[str, Any] = {"status": "succeeded", "output": ["4", "2"], "metrics": {"winner_seed": 1}}
    one.require_same({"prompt": "x"}, ended)
    one.require_same({"prompt": "x"}, ended | {"output": ["42"]})
    one.require_same({"prompt": "y"}, ended | {"output": ["43"]})
    for other in ({"output": ["43"]}, {"metrics": {"winner_seed": 2}}, {"status": "failed"}):
        with pytest.raises(Unexpected):
            one.require_same({"prompt": "x"}, ended | other)


def test_a_prediction_without_an_end_is_found_in_the_log() -> None:
    said = [("Starting prediction", "a"), ("Starting prediction", "b"), ("Prediction cancelled", "a")]
    said += [("Starting prediction", "c"), ("Prediction worker completed", "c"), ("Prediction failed", "c")]
    lines = [json.dumps({"fields": {"message": message, "prediction_id": name}}) for message, name in said]
    assert unaccounted("\n".join(["a line of the setup", *lines])) == ["b", "c"]


def test_each_thing_that_did_not_hold_is_told() -> None:
    held = Soak(looks=[LOOK, replace(LOOK, memory_mib=620.0, threads=72)])
    held.note("plain", None)
    assert failings(held, [], 0) == []
    leaky = Soak(looks=[LOOK, Look(memory_mib=700.0, descriptors=300, threads=90, files=9)], busy=1)
    leaky.note("plain", "another text")
    told = "\n".join(failings(leaky, ["client0-7"], 2))
    for words in ("plain: 1 of 1", "client0-7", "not idle", "2 tracebacks", "memory_mib", "descriptors", "threads"):
        assert words in told
    assert "files grew by 8; 2 is allowed" in told


def test_a_webhook_that_does_not_come_is_waited_for_in_vain() -> None:
    receiver = WebhookReceiver()
    receiver.take({"id": "a", "status": "succeeded"})
    assert receiver.wait_for("a", 0.0) == {"id": "a", "status": "succeeded"}
    assert receiver.wait_for("a", 0.0) is None


def test_early_stops_on_the_demo_are_cancels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lost cancel of Cog's may cost a drop here and there: how many, the command says for a hundred."""
    monkeypatch.setattr(stops, "VOTE", stops.VOTE | {"samples": 8})
    monkeypatch.setenv("CHECKPOINT", "demo")
    stops.main(["--cancels", "3", "--drops", "2"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["cancel"]["canceled"], found["tracebacks"]) == (3, 0)
    assert found["drop a stream"]["stops"] == found["drop a plain request"]["stops"] == 1


def test_a_cancel_that_failed_and_a_tenth_of_drops_that_ran_on_break_the_promise() -> None:
    rows = {"cancel": ROW, "drop a stream": ROW, "drop a plain request": replace(ROW, ran_on=3)}
    assert kept(rows)
    assert not kept(rows | {"cancel": replace(ROW, canceled=59)})
    assert not kept(rows | {"drop a stream": replace(ROW, ran_on=6)})


def test_what_measures_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0"]) == stops.main(["--cancels", "0"]) == 1
    said = capsys.readouterr().err
    assert "--minutes 0 --clients 8: use more than 0, and 1 or more" in said
    assert "--cancels 0 --drops 120" in said


def test_half_of_the_stops_come_in_the_first_milliseconds() -> None:
    one = sender(WebhookReceiver())
    moments = [one.moment() for _ in range(400)]
    assert 150 < sum(moment <= traffic.EARLY for moment in moments) < 250
