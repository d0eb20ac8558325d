"""The documentation says what the code says: its tables, its links, and the commands, files and modules it names."""

import importlib.util
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.cli import COMMANDS
from deepseek_math.errors import ServiceError
from deepseek_math.metrics import METRICS
from deepseek_math.paths import ROOT
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service
from deepseek_math.settings import VARIABLES, Settings
from tests.support.doc_tables import DOCS, TABLES, filled, page
from tests.support.scripted_engine import ScriptedEngine, Step

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "weights/README.md", *sorted(DOCS.glob("*.md"))]
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code(path: Path) -> list[str]:
    """The page's blocks and spans of code."""
    blocks = re.findall(r"(?ms)^(`{3,})\w*\n(.*?)^\1$", text_of(path))
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(path))
    return [block for _, block in blocks] + spans


def prose(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text_of(path))


def anchors(path: Path) -> set[str]:
    """The page's headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", TABLES)
def test_a_page_s_table_is_the_code_s(name: str) -> None:
    text = text_of(page(name))
    assert filled(name, text) == text, "run: python -m tests.support.doc_tables"


@every_page
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(path)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        assert found.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(found), link


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_the_readme_leads_to_every_page(path: Path) -> None:
    assert f"](docs/{path.name}" in text_of(README)


def test_the_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= 150


@every_page
def test_every_make_goal_that_a_page_names_is_one(path: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    for goal in re.findall(r"\bmake ([a-z][a-z-]*)", "\n".join(code(path))):
        assert re.search(rf"^{goal}:", makefile, re.MULTILINE), goal


@every_page
def test_every_dsm_command_that_a_page_names_is_one(path: Path) -> None:
    groups = {name.split()[0] for name in COMMANDS}
    for name in re.findall(r"\bdsm ((?:bench |train )?[a-z][a-z-]*)", "\n".join(code(path))):
        assert name in COMMANDS or name in groups, name


@every_page
def test_every_file_and_module_that_a_page_names_exists(path: Path) -> None:
    for name in re.findall(r"\b(?:deepseek_math|replicate|tests|docs|weights/tiny)/[\w./-]*", "\n".join(code(path))):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\b(?:deepseek_math|tests)(?:\.\w+)+", "\n".join(code(path))):
        assert importlib.util.find_spec(name), name


def test_every_variable_that_is_read_has_a_description() -> None:
    class Environment(dict[str, str]):
        read: set[str]

        def get(self, name: str, default: Any = None) -> Any:
            self.read.add(name)
            return super().get(name, default)

    environment = Environment()
    environment.read = set()
    Settings.read(environment)
    elsewhere = {"COG_WEIGHTS", "WEIGHTS_FOLDER"}  # passed to setup by Cog, and read by the store of checkpoints
    assert environment.read | elsewhere == set(VARIABLES)


class NoSandboxes(Sandboxes):
    """For completions without a program."""

    async def require(self) -> None:
        pass


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    said: list[Step] = ["The answer is ", "5", "."]
    engine = ScriptedEngine(lambda prompt, _: [*said, 60.0] if ord("~") in prompt else [*said, *[" So it is."] * 3])
    yield Service(checkpoint, engine, NoSandboxes(), "a digest")
    await judge().close()


async def reported(service: Service, **inputs: Any) -> Mapping[str, Any]:
    metrics: dict[str, Any] = {}

    def record(name: str, value: Any, mode: str = "replace") -> None:
        metrics[name] = value

    try:
        async with aclosing(service.complete({"prompt": "2+3?", **inputs}, record)) as pieces:
            async for _ in pieces:
                pass
    except ServiceError:
        pass
    return metrics


async def test_every_metric_that_is_reported_has_a_description(service: Service) -> None:
    vote = await reported(service, mode="tool", samples=2, expected_answer="5", return_samples=True, logprobs=True)
    refusal = await reported(service, top_p=0.0)
    service.time_limit = 0.5
    broken_off = await reported(service, prompt="slow~")
    assert set(vote) | set(refusal) | set(broken_off) == set(METRICS)
