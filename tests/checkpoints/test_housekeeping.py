"""What was downloaded first is what is downloaded later; what is removed was downloaded, and is in nobody's use."""

import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from deepseek_math.checkpoints import (
    Checkpoint,
    Hub,
    checkpoint_folder,
    fetch,
    find,
    hold,
    in_use,
    lock_file,
    removal,
    store,
)
from deepseek_math.checkpoints.checkpoint_download import partial_folder
from deepseek_math.checkpoints.command import table
from deepseek_math.errors import ServiceError
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.checkpoints.test_hub import FILES, WANTED, point_at
from tests.support.hostile_server import HostileServer, StandInHub
from tests.support.loopback import running

NAME = "hf://owner/model"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "weights"


@contextmanager
def hub_with(changed: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """The hub that is asked, and there the checkpoint's files, but for those that have changed."""
    with running(StandInHub("owner/model", {**FILES, **changed})) as hub:
        point_at(hub.url, monkeypatch)
        yield hub


@pytest.fixture
def folder(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkpoint that was downloaded."""
    with hub_with({}, monkeypatch):
        yield fetch(find(NAME), quiet)


def quiet(line: str) -> None:
    pass


def locked(weights: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((weights / lock_file.NAME).read_text())
    return found


def remove(*arguments: str) -> tuple[int, str]:
    """The command's status and what it said, in a process without a terminal."""
    program = f"from deepseek_math.cli import main; raise SystemExit(main({['checkpoints', 'remove', *arguments]!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"WEIGHTS_FOLDER": str(store.WEIGHTS)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


# The lock file


def test_the_first_download_of_a_name_is_recorded_with_commit_and_digests(folder: Path, weights: Path) -> None:
    entry = locked(weights)["owner--model"]
    assert entry["from"] == "owner/model@main"
    assert len(str(entry["commit"])) == 40
    digests = entry["files"]
    assert isinstance(digests, dict)
    assert sorted(digests) == WANTED
    assert digests["config.json"].startswith("git:")
    assert digests["model-00001-of-00002.safetensors"].startswith("sha256:")


def test_a_later_download_of_other_files_is_refused_before_it_begins_and_can_be_accepted(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (weights / lock_file.NAME).read_bytes()
    removal.remove(folder)
    with hub_with({"config.json": b'{"model_type": "mistral"}'}, monkeypatch) as hub:
        with pytest.raises(ServiceError) as error:
            fetch(find(NAME), quiet)
        assert error.value.code == "checkpoint_changed"
        assert "config.json differ from" in error.value.message
        assert "remove its entry there and start again" in error.value.message
        assert not any("resolve" in path for _, path, _ in hub.requests)
        assert (weights / lock_file.NAME).read_bytes() == before
        assert not folder.exists()
        fetch(find(NAME), quiet, accept_changes=True)
        assert locked(weights)["owner--model"]["commit"] == hub.commit
        removal.remove(folder)
        fetch(find(NAME), quiet)


def test_another_commit_of_the_same_files_is_the_same_checkpoint(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (weights / lock_file.NAME).read_bytes()
    removal.remove(folder)
    with hub_with({"README.md": b"other words"}, monkeypatch) as hub:
        assert fetch(find(NAME), quiet) == folder
        assert hub.commit not in before.decode()
    assert (weights / lock_file.NAME).read_bytes() == before


def test_a_file_without_a_published_digest_is_held_against_the_first_once_it_is_here(weights: Path) -> None:
    with running(HostileServer({"/m.gguf": b"GGUF one"})) as server:
        name = f"{server.url}/m.gguf"
        folder = fetch(find(name), quiet).parent
        assert list(locked(weights)[folder.name]) == ["files"]  # an address may hold a key
        removal.remove(folder)
        server.files["/m.gguf"] = b"GGUF two"
        with pytest.raises(ServiceError, match="checkpoint_changed.*m.gguf differ"):
            fetch(find(name), quiet)
        assert not folder.exists()
        server.files["/m.gguf"] = b"GGUF one"
        fetch(find(name), quiet)


def test_a_row_of_the_table_is_accepted_by_a_command(weights: Path) -> None:
    weights.mkdir()
    (weights / lock_file.NAME).write_text('{"rl": {"commit": "a", "files": {"config.json": "git:1"}}}')
    with pytest.raises(ServiceError, match="If you trust it: dsm fetch rl --accept"):
        lock_file.require_same(find("rl"), [], weights)


@pytest.mark.parametrize("content", ["", "[]", '{"rl": 1}', '{"rl": {"commit": "a"}}'])
def test_a_damaged_lock_file_is_named_and_not_passed_over(content: str, weights: Path) -> None:
    weights.mkdir()
    (weights / lock_file.NAME).write_text(content)
    with pytest.raises(ServiceError, match=r"checkpoint_unusable.*checkpoints\.lock\.json can't be read"):
        lock_file.require_same(Checkpoint("rl", Hub("a/b"), "none"), [], weights)


def test_two_downloads_at_once_both_have_their_entry(weights: Path) -> None:
    weights.mkdir()
    rows = [Checkpoint(f"c{number}", Hub("a/b"), "none") for number in range(8)]
    threads = [threading.Thread(target=lock_file.record, args=(row, "a", [], weights, weights, False)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(locked(weights)) == [row.name for row in rows]


# Removing


def test_what_was_downloaded_is_removed_by_either_name_and_nothing_else(folder: Path, weights: Path) -> None:
    other = weights / "other"
    other.mkdir()
    for name in ("owner--model", NAME):
        fetch(find(NAME), quiet)
        partial_folder(folder).mkdir()
        (partial_folder(folder) / "x.part").write_bytes(b"x")
        status, said = remove(name, "--yes")
        assert (status, "removed owner--model: 6.0 MB" in said) == (0, True), said
        assert sorted(path.name for path in weights.iterdir()) == [lock_file.NAME, "other"]


def test_a_removal_that_was_broken_off_leaves_an_unfinished_download(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, ignore_errors: bool = False) -> None:
        (path / "config.json").unlink(missing_ok=True)
        if not ignore_errors:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken_off:
        broken_off.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            removal.remove(folder)
    assert not folder.exists()
    assert any(line.startswith("owner--model") and "in part" in line for line in table().splitlines())
    assert fetch(find(NAME), quiet) == folder
    assert all((folder / name).read_bytes() == FILES[name] for name in WANTED)


def test_it_asks_first_and_without_a_terminal_it_is_not_taken_for_a_yes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = remove("owner--model")
    assert (status, "Without a question: --yes" in said) == (1, True), said
    for answer, there in ((b"\n", True), (b"no\n", True), (b"y\n", False)):
        outer, inner = pty.openpty()
        os.write(outer, answer)
        with os.fdopen(inner) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            removal.main(["owner--model"])
        os.close(outer)
        assert "Remove owner--model, 6.0 MB in" in capsys.readouterr().err
        assert folder.exists() is there


def test_what_was_not_downloaded_is_never_removed(folder: Path, weights: Path, tmp_path: Path) -> None:
    mine = weights / "rl"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    (weights / "link").symlink_to(folder)
    refused = {
        "rl": "was not downloaded",
        "link": "was not downloaded",
        "demo": "was never downloaded",
        "tiny": "checkpoint_unknown",
        "tiny-base": "was never downloaded",
        str(mine): "was never downloaded",
        "instruct": "Nothing of instruct is in",
        "../weights": "checkpoint_unknown",
    }
    for name, reason in refused.items():
        status, said = remove(name, "--yes")
        assert (status, reason in said) == (1, True), said
    for name in ("notes.txt", ".mine", "deeper/notes.txt"):
        own = folder / name
        own.parent.mkdir(exist_ok=True)
        own.write_text("mine")
        status, said = remove("owner--model", "--yes")
        assert (status, f"holds what was not downloaded: {name}" in said) == (1, True), said
        own.unlink()
    (folder / "config.json").write_text("changed by hand")
    status, said = remove("owner--model", "--yes")
    assert (status, "holds what was not downloaded: config.json" in said) == (1, True), said
    assert (mine / "config.json").exists()
    assert folder.exists()


def test_a_checkpoint_that_is_served_is_refused_until_the_service_is_gone(weights: Path) -> None:
    folder = weights / "mine"
    folder.mkdir(parents=True)
    model = shutil.copy(fetch(find("demo")), folder / "m.gguf")
    notes = {"checkpoint": "mine", "sizes": checkpoint_folder.sizes(folder)}
    (folder / checkpoint_folder.NOTES).write_text(json.dumps(notes))
    variables = {"CHECKPOINT": str(model), "WEIGHTS_FOLDER": str(weights), "THREADS": "1", "SLOTS": "1"}
    with LocalServer(environment=variables):
        assert in_use.last_use(folder)
        status, said = remove("mine", "--yes")
        assert (status, "checkpoint_in_use" in said, "Stop it" in said) == (1, True, True), said
        assert folder.exists()
    assert remove("mine", "--yes")[0] == 0
    assert not folder.exists()


def test_a_checkpoint_that_is_downloaded_is_refused(folder: Path) -> None:
    with FileLock(store.download_lock(folder)):
        status, said = remove("owner--model", "--yes")
        assert (status, "A process downloads owner--model" in said) == (1, True), said
    assert folder.exists()


def test_the_last_use_and_the_place_are_shown(folder: Path, weights: Path) -> None:
    def shown() -> str:
        return next(line for line in table().splitlines() if line.startswith("owner--model"))

    assert str(folder) in shown()
    assert f"{datetime.now():%Y-}" not in shown()
    hold(folder / "config.json")
    used = in_use.last_use(folder)
    assert used is not None
    assert datetime.now() - used < timedelta(minutes=1)
    assert f"{used:%Y-%m-%d %H:%M}" in shown()
    fetch(find(NAME), quiet)  # the mark is not part of the checkpoint
