"""Stops predictions in their first milliseconds, and measures what the service goes on to do for nobody.

Votes of 64 are cancelled through this package's client, and their connections dropped: of half the drops a stream's,
after its headers, of the others a plain request's, after it is sent. Each comes 0 to 10 ms later. What the server then
computes until it is idle is held against a whole vote, in processor time, which other work on the machine does not
change.

CHECKPOINT in the environment names the weights (the demo when unset). Prints a table; the last line is JSON. The exit
status is 1 where a cancel did not end as one, or more than one in forty drops ran on.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from random import Random

from httpx_sse import EventSource

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.processes import clock, settle
from deepseek_math.bench.raw_request import RawRequest
from deepseek_math.bench.streams import BenchError
from deepseek_math.exit_status import FAILED
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer
from deepseek_math.terminal import say

MOMENT = 0.010  # seconds, at most, from what a stop waits for to the stop
VOTE = {"prompt": "What is 1234 * 56?", "samples": 64, "temperature": 1.5, "seed": 0}
PATIENCE = 120.0  # seconds that the server has to become idle
RAN_ON = 0.05  # of a whole vote's processor time: a stop that costs more was not heard at once
MOST_RAN_ON = 1 / 40  # of the drops


@dataclass(frozen=True, slots=True)
class Stop:
    """What one stop was followed by."""

    status: str  # of the prediction; empty for a drop, which nobody hears the end of
    cost: float  # processor seconds of the server
    seconds: float  # until it was idle


@dataclass(frozen=True, slots=True)
class Row:
    """Stops of one kind. Costs are shares of a whole vote's processor time."""

    stops: int
    canceled: int
    ran_on: int
    mean_cost: float
    highest_cost: float
    longest_seconds: float


def cancel_early(url: str, name: str, wait: float) -> str:
    """Cancels a stream `wait` seconds after its headers; its status."""
    body = {"id": name, "input": VOTE}
    with (
        client.http(client.TIMEOUT) as session,
        session.stream("POST", f"{url}/predictions", json=body, headers=client.STREAM) as response,
    ):
        time.sleep(wait)
        client.cancel(url, name)
        for event in EventSource(response).iter_sse():
            if event.event == "completed":
                return str(event.json()["status"])
    return "no end"


def drop_stream(url: str, name: str, wait: float) -> str:
    with RawRequest(url, {"id": name, "input": VOTE}, client.STREAM) as request:
        request.read_headers()
        time.sleep(wait)
    return ""


def drop_plain(url: str, name: str, wait: float) -> str:
    with RawRequest(url, {"id": name, "input": VOTE}):
        time.sleep(wait)
    return ""


KINDS: dict[str, Callable[[str, str, float], str]] = {
    "cancel": cancel_early,
    "drop a stream": drop_stream,
    "drop a plain request": drop_plain,
}


def measure(server: LocalServer, numbers: dict[str, int]) -> dict[str, Row]:
    """So many stops of each kind, one at a time."""
    assert server.process is not None
    process, moments = server.process.pid, Random(0)
    settle([process])
    whole = _cost(process, partial(_whole_vote, server.url))
    say(f"a whole vote: {whole.cost:.1f} s of processor time in {whole.seconds:.1f} s")
    rows = {}
    for kind, number in numbers.items():
        stops = []
        for count in range(number):
            name, wait = f"{kind.replace(' ', '-')}-{count}", moments.uniform(0, MOMENT)
            stops.append(_cost(process, partial(KINDS[kind], server.url, name, wait)))
        rows[kind] = _row(stops, whole.cost)
        say(f"{kind}: done")
    return rows


def _cost(process: int, send: Callable[[], str]) -> Stop:
    before, began = clock(process).total, time.monotonic()
    status = send()
    settle([process], patience=PATIENCE)
    return Stop(status, clock(process).total - before, time.monotonic() - began)


def _whole_vote(url: str) -> str:
    return str(list(client.stream(url, VOTE))[-1].data["status"])


def _row(stops: Sequence[Stop], whole: float) -> Row:
    costs = [stop.cost / whole for stop in stops]
    return Row(
        stops=len(stops),
        canceled=sum(stop.status == "canceled" for stop in stops),
        ran_on=sum(cost > RAN_ON for cost in costs),
        mean_cost=round(sum(costs) / len(costs), 4),
        highest_cost=round(max(costs), 4),
        longest_seconds=round(max(stop.seconds for stop in stops), 1),
    )


def table(rows: Mapping[str, Row]) -> str:
    """For people: a line for each kind."""
    lines = [f"{'':24}{'stops':>8}{'canceled':>10}{'ran on':>8}{'mean':>9}{'highest':>9}{'longest, s':>12}"]
    for kind, row in rows.items():
        canceled = "-" if kind.startswith("drop") else str(row.canceled)
        lines.append(
            f"{kind:24}{row.stops:>8}{canceled:>10}{row.ran_on:>8}{row.mean_cost:>9.1%}{row.highest_cost:>9.1%}"
            f"{row.longest_seconds:>12.1f}"
        )
    return "\n".join(lines)


def kept(rows: Mapping[str, Row]) -> bool:
    """Whether every cancel ended as one, and few enough drops ran on."""
    drops = [row for kind, row in rows.items() if kind.startswith("drop")]
    ran_on, dropped = sum(row.ran_on for row in drops), sum(row.stops for row in drops)
    cancels = rows["cancel"]
    return cancels.canceled == cancels.stops and ran_on <= MOST_RAN_ON * dropped


def _bench(options: argparse.Namespace) -> int:
    if options.cancels < 1 or options.drops < 2:
        raise BenchError(f"--cancels {options.cancels} --drops {options.drops}: use 1 or more, and 2 or more.")
    half = options.drops // 2
    numbers = dict(zip(KINDS, (options.cancels, half, options.drops - half), strict=True))
    with LocalServer(environment={"CHECKPOINT": os.environ.get("CHECKPOINT") or "demo"}, say=say) as server:
        rows = measure(server, numbers)
        faults = server.log.read_text(errors="replace").count("Traceback (most recent call last)")
    print(f"\n{table(rows)}\n\nCosts are of a whole vote's processor time. Tracebacks in the log: {faults}")
    print(json.dumps({"tracebacks": faults} | {kind: asdict(row) for kind, row in rows.items()}), flush=True)
    return 0 if kept(rows) else FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench stops", __doc__)
    parser.add_argument("--cancels", type=int, default=150, help="predictions to cancel (default: 150)")
    parser.add_argument("--drops", type=int, default=120, help="connections to drop (default: 120)")
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))
