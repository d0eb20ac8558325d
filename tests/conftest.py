"""What several test files share: the shared folder's data, SmolLM2, and one real server that serves it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "200")  # before torch loads OpenMP; see deepseek_math/training/__init__.py

from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.local.server import LocalServer

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(name: str) -> Path:
    """A file or folder of the shared data, which lies beside the repository on some machines."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared folder has no {name} on this machine")
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2 135M as a GGUF file, downloaded once: a real model of a general kind."""
    return fetch(CHECKPOINTS["smollm2-135m"])


@pytest.fixture(scope="session")
def server(smollm2: Path) -> Iterator[LocalServer]:
    """The whole service with SmolLM2, as `make serve` starts it."""
    with LocalServer(environment={"CHECKPOINT": "smollm2-135m"}, concurrency=32) as running:
        yield running
