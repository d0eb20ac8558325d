"""What many tests share: a random model and a server of it, the demo's server, tokenizers of DeepSeek's rules, and the
promise of unit tests.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "200")  # before torch loads OpenMP; see deepseek_math/training/__init__.py

from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.local.server import LocalServer
from tests.support import deepseek_tokenizer as deepseek

TOKENIZERS = [pytest.param(deepseek.FOLDER, id="small")]
if deepseek.PUBLISHED.exists():  # in addition: no test needs it
    TOKENIZERS.append(pytest.param(deepseek.PUBLISHED, id="published"))

ONE_THREAD = {"THREADS": "1"}  # two engines of two threads each wait for one another on two cores


@pytest.fixture(scope="session", params=TOKENIZERS)
def deepseek_tokenizer(request: pytest.FixtureRequest) -> Path:
    """A folder with tokenizer.json, tokenizer_config.json, and vectors.json: texts and their ids."""
    return Path(request.param)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of random weights (`tests/support/random_model.py`)."""
    from tests.support.random_model import make_random_model

    return make_random_model(tmp_path_factory.mktemp("random") / "random.gguf")


@pytest.fixture(scope="session")
def server(random_model: Path) -> Iterator[LocalServer]:
    """The whole service with the random model: long texts, and every seed's another."""
    with LocalServer(environment={"CHECKPOINT": str(random_model), **ONE_THREAD}, concurrency=32) as running:
        yield running


@pytest.fixture(scope="session")
def demo() -> Iterator[LocalServer]:
    """The whole service with the demo, which answers right, votes and writes programs."""
    with LocalServer(environment={"CHECKPOINT": "demo", **ONE_THREAD}, concurrency=32) as running:
        yield running


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2 135M as a GGUF file, downloaded once (98 MB): a real model of a general kind, in 4 bits."""
    return fetch(CHECKPOINTS["smollm2-135m"])


# Unit tests


def only_unit(config: pytest.Config) -> bool:
    return bool(config.option.markexpr == "unit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest -m unit` does not import the other modules: they need torch, or take seconds to import."""
    if only_unit(config) and collection_path.suffix == ".py" and "mark.unit" not in collection_path.read_text():
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay on one of xdist's workers, where they share fixtures, and so do the files of one server.

    Folders run from the last name to the first: tests/training takes longest, so it begins first.
    """
    items.sort(key=lambda item: item.path.parent, reverse=True)
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "smollm2" in fixtures:
            item.add_marker(pytest.mark.registry)
        if item.get_closest_marker("xdist_group") is None:
            shared = next((name for name in ("server", "demo") if name in fixtures), None)
            item.add_marker(pytest.mark.xdist_group(shared or item.nodeid.partition("::")[0]))


STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "pty.spawn")
CONNECTS = ("socket.bind", "socket.connect", "socket.sendto", "socket.getaddrinfo")
_watched: list[list[str]] = []  # holds the list of what the unit test that runs now did; empty in other tests


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    local = event in CONNECTS and isinstance(arguments[-1], str | bytes)  # the path of a socket of AF_UNIX
    torch = event == "import" and arguments[0] == "torch"
    if event in STARTS or (event in CONNECTS and not local) or torch:
        _watched[0].append(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def _unit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a unit test that starts a process, uses the network, or imports torch."""
    if request.node.get_closest_marker("unit") is None:
        yield
        return
    did: list[str] = []
    _watched.append(did)
    yield
    _watched.clear()
    assert not did, f"a unit test starts no process, uses no network and no torch: {did}"


@pytest.fixture(scope="session", autouse=True)
def _no_torch(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if only_unit(request.config):
        assert "torch" not in sys.modules, "something that unit tests import imports torch"
