"""What the door counts, in Prometheus' text form."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deepseek_math.local.client import Event

prometheus_client.disable_created_metrics()  # when each began to be counted: as many lines once more

PREFIX = "deepseek_math"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
RATES = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)


class Counters:
    """Of one door; no label holds what a client wrote."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def made(kind: Any, name: str, help: str, *labels: str, **more: Any) -> Any:
            return kind(f"{PREFIX}_{name}", help, labels, registry=self._registry, **more)

        self._requests = made(Counter, "requests", "Requests answered.", "endpoint", "mode", "status")
        self._refused = made(Counter, "refused", "Requests refused or failed, streams broken off.", "code")
        self._read = made(Counter, "prompt_tokens", "Tokens that the model read.")
        self._drawn = made(Counter, "completion_tokens", "Tokens that it generated.")
        self._programs = made(Counter, "programs", "Programs of mode tool that ended.", "ended")
        self._waiting = made(Gauge, "waiting", "Predictions that wait for a place at the service.")
        self._running = made(Gauge, "running", "Predictions that the service has taken.")
        self._first = made(
            Histogram, "time_to_first_token_seconds", "Seconds, from the service's metric.", buckets=SECONDS
        )
        self._rate = made(Histogram, "tokens_per_second", "Of one prediction.", buckets=RATES)

    def answered(self, endpoint: str, mode: str, status: int) -> None:
        self._requests.labels(endpoint, mode, str(status)).inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    async def watching(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same events of one prediction."""
        gauge = self._waiting
        gauge.inc()
        try:
            async with aclosing(events):
                async for event in events:
                    if gauge is self._waiting:
                        gauge.dec()
                        gauge = self._running
                        gauge.inc()
                    if event.kind == "completed":
                        self._count(event.data.get("metrics", {}))
                    yield event
        finally:
            gauge.dec()

    def _count(self, metrics: Mapping[str, Any]) -> None:
        self._read.inc(metrics.get("prompt_tokens", 0))
        self._drawn.inc(metrics.get("completion_tokens", 0))
        failed = metrics.get("tool_errors", 0)
        self._programs.labels("error").inc(failed)
        self._programs.labels("well").inc(metrics.get("tool_rounds", 0) - failed)
        if "time_to_first_token" in metrics:
            self._first.observe(metrics["time_to_first_token"])
        if "tokens_per_second" in metrics:
            self._rate.observe(metrics["tokens_per_second"])

    def text(self) -> bytes:
        written: bytes = generate_latest(self._registry)
        return written
