"""Who imports whom: what only measures and trains is never part of the service."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_math.paths import ROOT

PACKAGE = ROOT / "deepseek_math"
APART = ("batch", "bench", "door", "evaluation", "page", "training")  # never imported by the rest
JOBS = "jobs"  # what batch and evaluation share; the service never imports it either


def imported(file: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def folders_imported(file: Path) -> set[str]:
    names = [name.split(".") for name in imported(file)]
    return {parts[1] for parts in names if len(parts) > 1 and parts[0] == "deepseek_math"}


def test_the_service_imports_neither_benchmarks_nor_evaluation_nor_training() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if folder_of(file) not in (*APART, JOBS)]
    assert len(files) > 50
    for file in files:
        assert not folders_imported(file) & {*APART, JOBS}, file


BELOW = {  # each folder, and those that it may import beside itself and the files at the root
    "answers": set(),
    "engines": set(),
    "checkpoints": set(),
    "programs": {"engines"},
    "cog": set(),
    "local": {"checkpoints", "cog"},
    "jobs": {"checkpoints", "engines", "local"},
}


@pytest.mark.parametrize("folder", BELOW)
def test_no_folder_of_the_service_reaches_back_up(folder: str) -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for file in (PACKAGE / folder).rglob("*.py"):
        assert folders_imported(file) & folders <= BELOW[folder] | {folder}, file


def test_folders_apart_import_neither_each_other_nor_the_tests() -> None:
    for folder in APART:
        others = set(APART) - {folder} - ({"door"} if folder == "page" else set())  # the page stands in the door
        for file in (PACKAGE / folder).rglob("*.py"):
            assert not folders_imported(file) & others, file
            assert not [name for name in imported(file) if name.split(".")[0] == "tests"], file
