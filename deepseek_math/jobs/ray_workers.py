"""The same run as a Ray Data job: N workers, each with a service of its own or one of N running services.

`--ray N` uses the cluster that RAY_ADDRESS names, else this machine. Each worker takes a batch of questions at a time
and sends every line back as soon as it is answered, so a stopped job goes on as a single run does.
"""

import json
import logging
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import replace
from typing import Any, Protocol

from deepseek_math.checkpoints import Checkpoint, Local, digest, fetch, find, store
from deepseek_math.checkpoints.table import TINY
from deepseek_math.engines.registry import row_of
from deepseek_math.inputs import BY_NAME
from deepseek_math.jobs import JobError
from deepseek_math.jobs.journal import Line
from deepseek_math.jobs.served import MAX_IN_FLIGHT, Served, identify
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from deepseek_math.settings import Settings

# Of the repository, what a worker needs to serve a checkpoint. The patterns are those of .gitignore; /* matches the
# repository itself as well, which !/. takes back.
CODE = {"working_dir": str(ROOT), "excludes": ["/*", "!/.", "!/deepseek_math", "!/replicate"]}
BATCH = 4  # times its questions in flight: a worker that is done early takes the next batch
VLLM = ("ENGINE", "VLLM_ARGS", "VLLM_ENVIRONMENT")
SETTINGS = ("SLOTS", "CONTEXT", "THREADS", "TOOL_PROCESSES", "DTYPE", "DEVICE_MAP", *VLLM)


def own_service(say: Callable[[str], None]) -> Served:
    """What the workers' own services will be. Fetches the checkpoint, once for all of them. Raises ServiceError."""
    settings, checkpoint = _asked_for()
    if settings.engine_url:
        raise JobError(
            "With ENGINE_URL one service is enough: the server at that address does the work. Leave --ray out, or name "
            "running services with --url."
        )
    path = fetch(checkpoint, say)
    engine = row_of(path, settings.engine)
    slots = settings.slots or engine.slots or MAX_IN_FLIGHT  # the last where a worker's machine decides
    return Served(checkpoint.name, digest(path), engine.folder, slots, frozenset(BY_NAME), _wanted(settings))


def _wanted(settings: Settings) -> str:
    """The engine's settings as they are asked for; what they come to depends on a worker's machine."""
    asked = f"CONTEXT={settings.context or ''} DTYPE={settings.dtype or ''}"
    return " ".join([asked, *settings.vllm_args])


def _asked_for() -> tuple[Settings, Checkpoint]:
    """The settings and the checkpoint of a server on this machine, which runs in the repository's folder."""
    settings = Settings.read(weights=os.environ.get("COG_WEIGHTS"))
    with chdir(ROOT):
        return settings, find(settings.checkpoint)


def _environment() -> dict[str, str]:
    """A worker's variables: its service loads the driver's checkpoint from the driver's folders of weights."""
    settings, checkpoint = _asked_for()
    name = settings.checkpoint
    if isinstance(checkpoint.source, Local) and not checkpoint.in_table:
        name = str(checkpoint.source.path)
    environment = {
        "CHECKPOINT": name,
        "COG_WEIGHTS": name,
        "WEIGHTS_FOLDER": str(store.WEIGHTS),
        "TINY_FOLDER": str(TINY),
    }
    for variable in SETTINGS:
        if os.environ.get(variable):
            environment[variable] = os.environ[variable]
    return environment


class Questioner(Protocol):
    """What asks a service, on any machine: pickled, it goes to the workers."""

    def answers(self, items: Sequence[str], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
        """One line an item, as they are answered. Raises JobError."""


class Worker:
    """Answers batches with one service: the next of `urls`, or one it starts, which must be what the driver expects."""

    def __init__(self, questioner: Questioner, urls: Sequence[str], served: Served, turns: Any, in_flight: int) -> None:
        import ray

        self._questioner, self._served, self._in_flight = questioner, served, in_flight
        self._server: LocalServer | None = None
        self._own = not urls
        if urls:
            self._url = urls[ray.get(turns.next.remote()) % len(urls)]
        else:
            self._server = LocalServer().__enter__()
            self._url = self._server.url

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, list[str]]]:
        if self._own:
            self._own = False
            found = await identify(self._url)
            if str(replace(found, settings=self._served.settings)) != str(self._served):
                raise JobError(f"A worker's service serves {found}, but the run is of {self._served}.")
        async for line in self._questioner.answers(list(batch["item"]), self._url, self._in_flight):
            yield {"line": [json.dumps(line)]}

    def __del__(self) -> None:
        server = getattr(self, "_server", None)  # missing where __init__ failed
        if server is not None:
            server.stop()


class Turns:
    """Counts the workers, so that each takes another service."""

    def __init__(self) -> None:
        self._next = -1

    def next(self) -> int:
        self._next += 1
        return self._next


def answers(
    questioner: Questioner,
    items: Sequence[str],
    name: str,
    urls: Sequence[str],
    served: Served,
    workers: int,
    in_flight: int,
) -> Iterator[Line]:
    """One line an item, as they come; `name` is the field that tells lines apart. Raises JobError when Ray is not
    installed or a worker fails."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise JobError("--ray needs the package ray. Install it with: make setup-evaluate") from error
    ray.init(
        runtime_env=CODE | {"env_vars": {} if urls else _environment()},
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        ignore_reinit_error=True,
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        ray.data.DataContext.get_current().target_max_block_size = 1  # bytes: each line is sent back by itself
        turns = ray.remote(Turns).options(num_cpus=0).remote()
        blocks = max(workers, math.ceil(len(items) / (BATCH * in_flight)))
        own_gpu = not urls and ray.cluster_resources().get("GPU", 0) > 0
        rows = ray.data.from_items([{"item": item} for item in items], override_num_blocks=blocks)
        answered = rows.map_batches(
            Worker,
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=0.1,
            num_gpus=1 if own_gpu else 0,
            fn_constructor_args=(questioner, tuple(urls), served, turns, in_flight),
        )
        seen = set[Any]()  # Ray repeats a batch whose worker died
        for row in answered.iter_rows():
            line = json.loads(row["line"])
            if line[name] not in seen:
                seen.add(line[name])
                yield line
    except ray.exceptions.RayError as error:
        raise JobError(f"A Ray worker failed: {error}") from error
    finally:
        ray.shutdown()
