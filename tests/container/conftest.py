"""What the container's tests share: a Docker engine that answers, the images, and a table of what was run.

`make test-container` runs them; `make test` leaves this folder out. They need a Docker engine, and the base image of
`cog_build.py` or a registry that has it.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepseek_math.checkpoints import fetch, find
from deepseek_math.local import image
from tests.container import cog_build
from tests.container.docker import DockerFailed, docker
from tests.container.running import Running

NO_ENGINE = """No Docker engine answers, so nothing was tested ({reason}).
Start yours, or let this have one from Debian's packages (as root): tests/container/engine make test-container"""
HEADER = ("docker run", "READY after", "chat", "mode=tool", "vote of 16", "peak memory", "docker stop")
ROWS = pytest.StashKey[list[tuple[str, ...]]]()

Built = Callable[[str, bool], str]


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        docker("info")
    except (DockerFailed, FileNotFoundError) as error:
        last = str(error).strip().splitlines()[-1]
        pytest.exit(NO_ENGINE.format(reason=last), returncode=1)


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """Builds the image of a checkpoint, with its weights where it is told to, once. Removes them all at the end."""
    tags: dict[tuple[str, bool], str] = {}
    folder = image.FOLDER.with_name("test-container")  # on the disk of the weights

    def build(name: str, bake: bool) -> str:
        if (name, bake) not in tags:
            shutil.rmtree(folder, ignore_errors=True)
            checkpoint = find(name)
            if bake:
                fetch(checkpoint)
            image.export(checkpoint, bake, folder)
            tags[name, bake] = cog_build.build(folder, f"dsm-test:{name}{'-baked' if bake else ''}")
            shutil.rmtree(folder)
        return tags[name, bake]

    yield build
    shutil.rmtree(folder, ignore_errors=True)
    for (_, bake), tag in tags.items():
        docker("rmi", "--force", tag, *([f"{tag}-weights"] if bake else []))


@pytest.fixture(scope="session")
def demo_image(built: Built) -> str:
    """The image for GGUF files on a CPU; the checkpoint that it was built for is the demo."""
    return built("tiny-rl", False)


@pytest.fixture(scope="session")
def container(demo_image: str) -> Iterator[Running]:
    """One that many tests share, as `docker run` has it."""
    with Running(demo_image) as running:
        running.wait("READY")
        yield running


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds a row to the table that is printed at the end."""
    rows = request.config.stash.setdefault(ROWS, [])
    return lambda *cells: rows.append(cells)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for cells in [HEADER, ("---",) * len(HEADER), *config.stash.get(ROWS, [])]:
        terminalreporter.write_line("| " + " | ".join(cells) + " |")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """What goes into the demo's image, to change it."""
    image.export(find("tiny-rl"), bake=False, folder=tmp_path / "export")
    return tmp_path / "export"
