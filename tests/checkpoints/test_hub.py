"""The model hub's own client against a stand-in for the hub on this machine: whole checkpoints, resumed and checked."""

import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_math.checkpoints import (
    CHECKPOINTS,
    Checkpoint,
    Hub,
    checkpoint_download,
    download_faults,
    fetch,
    fetch_tokenizer,
    find,
    store,
)
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy
from tests.support.hostile_server import Fault, StandInHub
from tests.support.loopback import running
from tests.support.tiny_llama import make_tiny_llama

SHARD = random.Random(5).randbytes(3_000_000)
FILES = {
    "README.md": b"not needed",
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model-00001-of-00002.safetensors": SHARD,
    "model-00002-of-00002.safetensors": SHARD[::-1],
    "pytorch_model.bin": b"not needed either",
    "original/model.safetensors": b"nor this",
    "consolidated.safetensors": b"nor the same weights again",
    ".hidden.json": b"nor what is hidden",
}
GGUFS = {
    f"deepseek-math-7b-rl.{kind}.gguf": b"GGUF" + kind.encode() * 99
    for kind in ("Q4_K_M", "Q4_K_M_L", "Q5_K_M", "Q8_0")
}
WANTED = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json"]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(download_faults, "RETRY", replace(download_faults.RETRY, first_wait=0.01))
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "weights"


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does, after the client has read it."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with running(StandInHub("owner/model", FILES)) as hub:
        point_at(hub.url, monkeypatch)
        yield hub


def quiet(line: str) -> None:
    pass


def refused(code: str, name: str = "hf://owner/model") -> str:
    with pytest.raises(ServiceError) as error:
        fetch(find(name), quiet)
    assert error.value.code == code, error.value
    assert not (store.WEIGHTS / find(name).name).exists()
    return error.value.message


def test_a_repository_arrives_whole_and_the_second_start_needs_no_hub(weights: Path, hub: StandInHub) -> None:
    folder = fetch(find("hf://owner/model"), quiet)
    assert folder == weights / "owner--model"
    assert {path.name for path in folder.iterdir()} == {*WANTED, "source.json"}
    assert all((folder / name).read_bytes() == FILES[name] for name in WANTED)
    assert hub.commit in (folder / "source.json").read_text()
    hub.shutdown()
    said: list[str] = []
    assert fetch(find("hf://owner/model"), said.append) == folder
    assert "no download" in said[0]


def test_a_tokenizer_comes_without_the_weights_and_whole_checkpoints_have_one(weights: Path, hub: StandInHub) -> None:
    target = find("hf://owner/model")
    path = fetch_tokenizer(target, quiet)
    assert path == weights / "owner--model-tokenizer"
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "source.json", "tokenizer.json"]
    assert not any("safetensors" in request for _, request, _ in hub.requests)
    asked = len(hub.requests)
    assert fetch_tokenizer(target, quiet) == path
    assert len(hub.requests) == asked
    whole = fetch(target, quiet)
    assert whole == weights / "owner--model"
    assert fetch_tokenizer(target, quiet) == whole


def test_where_the_tokenizer_is_in_the_weights_alone_they_are_fetched_once(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = find("hf://owner/quantised")
    with running(StandInHub("owner/quantised", GGUFS)) as hub:
        point_at(hub.url, monkeypatch)
        path = fetch_tokenizer(target, quiet)
        assert path.name == "deepseek-math-7b-rl.Q4_K_M.gguf"
        asked = len(hub.requests)
        assert fetch(target, quiet) == fetch_tokenizer(target, quiet) == path
        assert len(hub.requests) == asked
    assert [path.name for path in weights.iterdir() if path.is_dir()] == ["owner--quantised"]


def test_a_quantised_row_has_its_tokenizer_from_what_was_quantised() -> None:
    for name, row in CHECKPOINTS.items():
        if isinstance(row.source, Hub) and row.source.file:
            assert row.tokenizer is not None
            assert row.tokenizer.repository == CHECKPOINTS[name.partition("-")[0]].source.repository  # type: ignore[union-attr]


def test_a_name_is_fetched_from_the_command_line(weights: Path, hub: StandInHub, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": str(ROOT)}
    program = "from deepseek_math.checkpoints import command, store; from pathlib import Path; import sys; "
    program += f"store.WEIGHTS = Path({str(weights)!r}); sys.exit(command.fetch_named())"
    command = [sys.executable, "-c", program, "hf://owner/model@main"]
    for word in ("downloaded 6.0 MB", "no download"):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert word in done.stdout
        assert done.stdout.splitlines()[-1] == str(weights / "owner--model@main")


def test_dropped_connections_cost_no_byte(weights: Path, hub: StandInHub) -> None:
    rng = random.Random(6)
    hub.faults = [Fault(after=rng.randrange(1, 100_000)) for _ in range(40)]
    folder = fetch(find("hf://owner/model"), quiet)
    assert all((folder / name).read_bytes() == FILES[name] for name in WANTED)
    assert hub.sent <= sum(len(FILES[name]) for name in WANTED) + 40 * (1 << 16)


def test_a_start_goes_on_where_the_last_one_gave_up(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_faults, "RETRY", RetryPolicy(attempts=1))
    hub.faults = [Fault(), Fault(), Fault(after=2_000_000), *[Fault(after=0)] * 8]
    message = refused("download_failed")
    assert "start again to resume" in message
    hub.faults.clear()
    sent = hub.sent
    assert sent >= 2_000_000
    folder = fetch(find("hf://owner/model"), quiet)
    assert (folder / "model-00001-of-00002.safetensors").read_bytes() == SHARD
    assert sent + hub.sent - sent <= sum(len(FILES[name]) for name in WANTED) + (1 << 16)


def test_a_wrong_digest_removes_its_file_and_no_other(weights: Path, hub: StandInHub) -> None:
    hub.digests["model-00002-of-00002.safetensors"] = "0" * 64
    message = refused("checkpoint_damaged")
    found = hashlib.sha256(SHARD[::-1]).hexdigest()
    assert all(text in message for text in ("model-00002-of-00002.safetensors", "0" * 64, found))
    partial = weights / "owner--model.partial"
    assert (partial / "model-00001-of-00002.safetensors").read_bytes() == SHARD
    assert not list(partial.glob("model-00002*"))
    hub.digests.clear()
    sent = hub.sent
    fetch(find("hf://owner/model"), quiet)
    assert hub.sent - sent == len(SHARD)


def test_a_small_file_is_checked_by_git_s_blob_id(weights: Path, hub: StandInHub) -> None:
    hub.swapped["config.json"] = FILES["config.json"][::-1]
    assert "config.json was downloaded with the git blob id" in refused("checkpoint_damaged")


@pytest.mark.parametrize(
    ("status", "code", "said", "reason"),
    [
        (401, "RepoNotFound", "Repository not found", "no such repository, or it is private"),
        (403, "GatedRepo", "Access to model owner/model is restricted", "gated: accept its terms"),
        (404, "RepoNotFound", "Repository not found", "no such repository"),
        (404, "RevisionNotFound", "Invalid rev id: x", "no such revision"),
    ],
)
def test_the_hub_s_reason_is_one_sentence(
    weights: Path, hub: StandInHub, status: int, code: str, said: str, reason: str
) -> None:
    hub.refusal = status, {"X-Error-Code": code, "X-Error-Message": said}
    message = refused("download_failed")
    assert reason in message
    assert said in message
    assert "HF_TOKEN" in message or code == "RevisionNotFound"
    assert "\n" not in message
    assert "is kept" not in message


def test_the_token_goes_to_the_hub(weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    fetch(find("hf://owner/model"), quiet)
    headers = [{name.lower(): value for name, value in sent.items()} for _, _, sent in hub.requests]
    assert {sent.get("authorization") for sent in headers} == {"Bearer hf_mine"}


def test_a_hub_that_cannot_be_reached_is_one_sentence(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    assert "http://127.0.0.1:9 could not be reached" in refused("download_failed")


def test_a_quantisation_is_found_by_its_name(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(StandInHub("owner/ggufs", GGUFS)) as hub:
        point_at(hub.url, monkeypatch)
        path = fetch(Checkpoint("rl-q4_k_m", Hub("owner/ggufs", file="q4_k_m"), "none"), quiet)
        assert path == weights / "rl-q4_k_m" / "deepseek-math-7b-rl.Q4_K_M.gguf"
        assert fetch(find("hf://owner/ggufs"), quiet).name == path.name
        with pytest.raises(ServiceError, match="checkpoint_unusable.*Q5_K_M.gguf.*Q8_0.gguf"):
            fetch(Checkpoint("wrong", Hub("owner/ggufs", file="q2_k"), "none"), quiet)


def test_a_gguf_file_in_a_folder_of_the_repository_is_loaded(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(StandInHub("owner/ggufs", {"Q4/m.Q4_K_M.gguf": b"GGUF"})) as hub:
        point_at(hub.url, monkeypatch)
        assert fetch(find("hf://owner/ggufs"), quiet) == weights / "owner--ggufs" / "m.Q4_K_M.gguf"


def test_a_name_of_the_hub_s_that_leads_elsewhere_writes_nothing_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"../../pwned.Q4_K_M.gguf": b"GGUF", "..\\..\\pwned.Q8_0.gguf": b"GGUF"}
    with running(StandInHub("owner/ggufs", files)) as hub:
        hub.files |= {f"/owner/ggufs/{name[6:]}": data for name, data in files.items()}  # as the client asks for it
        point_at(hub.url, monkeypatch)
        for kind in ("q4_k_m", "q8_0"):
            with suppress(ServiceError):
                fetch(Checkpoint("it", Hub("owner/ggufs", file=kind), "none"), quiet)
    found = [path.relative_to(tmp_path).parts for path in tmp_path.rglob("*pwned*")]
    assert all(parts[0] == "weights" and parts[1] in ("it", "it.partial") and len(parts) == 3 for parts in found)


def test_a_hub_that_is_busy_for_a_while_is_waited_for(weights: Path, hub: StandInHub) -> None:
    hub.faults_at["/api/models/owner/model/revision/main"] = [Fault(status=503, headers={"Retry-After": "0.5"})] * 2
    said: list[str] = []
    fetch(find("hf://owner/model"), said.append)
    assert sum("503" in line and "trying again in" in line for line in said) == 2


def test_the_hub_s_retry_after_counts_for_its_files_too(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_faults, "RETRY", replace(download_faults.RETRY, longest_wait=0.25))
    hub.faults = [Fault(status=503, headers={"Retry-After": "3600"})]
    said: list[str] = []
    fetch(find("hf://owner/model"), said.append)
    assert any("trying again in 0.25 s" in line for line in said), said


def test_a_part_that_is_longer_than_its_file_is_begun_anew(weights: Path, hub: StandInHub) -> None:
    part = weights / "owner--model.partial" / "model-00001-of-00002.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(SHARD + b"more")
    folder = fetch(find("hf://owner/model"), quiet)
    assert (folder / "model-00001-of-00002.safetensors").read_bytes() == SHARD


def test_lost_notes_mean_that_digests_are_looked_at_again(weights: Path, hub: StandInHub) -> None:
    partial = weights / "owner--model.partial"
    partial.mkdir(parents=True)
    (partial / ".files.json").write_text("")
    (partial / "model-00001-of-00002.safetensors").write_bytes(SHARD[::-1])
    (partial / "model-00002-of-00002.safetensors").write_bytes(SHARD[::-1])
    folder = fetch(find("hf://owner/model"), quiet)
    assert (folder / "model-00001-of-00002.safetensors").read_bytes() == SHARD
    assert hub.sent < 2 * len(SHARD)


@pytest.mark.parametrize(
    ("offline", "name", "reason"),
    [(True, "owner/model", "HF_HUB_OFFLINE is set"), (False, "owner/mo..del", "not a valid name on the hub")],
)
def test_what_the_hub_s_client_refuses_is_one_sentence(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch, offline: bool, name: str, reason: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    message = refused("download_failed", f"hf://{name}")
    assert reason in message
    assert "is kept" not in message


def test_what_main_means_may_change_between_two_starts(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has arrived of the old files is dropped, and a file that is the same is kept."""
    monkeypatch.setattr(download_faults, "RETRY", RetryPolicy(attempts=1))
    hub.faults = [*[Fault()] * 2, Fault(after=1_000_000), *[Fault(after=0)] * 8]
    refused("download_failed")
    newer = FILES | {"model-00002-of-00002.safetensors": SHARD[1:] + SHARD[:1]}
    with running(StandInHub("owner/model", newer)) as other:
        point_at(other.url, monkeypatch)
        folder = fetch(find("hf://owner/model"), quiet)
        assert all((folder / name).read_bytes() == newer[name] for name in WANTED)
        assert other.sent < sum(len(newer[name]) for name in WANTED)


def test_a_checkpoint_from_the_hub_is_served(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_tiny_llama(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    with running(StandInHub("owner/tiny", files)) as hub:
        point_at(hub.url, monkeypatch)
        folder = fetch(find("hf://owner/tiny"), quiet)
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}


def test_a_file_in_xet_comes_by_hf_xet_and_goes_on_at_any_byte(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "model-00002-of-00002.safetensors"
    hub.serve_xet(name)
    part = weights / "owner--model.partial" / f"{name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[name][:1_234_567])
    folder = fetch(find("hf://owner/model"), quiet)
    assert (folder / name).read_bytes() == FILES[name]
    asked = [headers.get("range") for _, path, headers in hub.requests if path.startswith("/v1/reconstructions")]
    assert asked[0] == f"bytes=1234567-{len(SHARD) - 1}"
    assert hub.sent < sum(len(FILES[wanted]) for wanted in WANTED) - 1_000_000


def test_a_file_that_xet_does_not_have_is_one_sentence(weights: Path, hub: StandInHub) -> None:
    hub.serve_xet("model-00002-of-00002.safetensors")
    hub.xet_chunks = 0
    assert "model-00002-of-00002.safetensors could not be downloaded" in refused("download_failed")


def test_another_version_of_the_client_is_refused_before_it_is_imported(
    weights: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may lack the private functions, or bring another HTTP client."""
    name, needed = checkpoint_download.HUB_CLIENT
    assert f"{name.replace('_', '-')}=={needed}" in (ROOT / "requirements.txt").read_text().splitlines()
    monkeypatch.setattr("deepseek_math.installed.version", lambda package: "99.0")
    for module in ("hub", "hub_client"):
        monkeypatch.delitem(sys.modules, f"deepseek_math.checkpoints.{module}", raising=False)
    for package in (name, "httpx2"):
        monkeypatch.setitem(sys.modules, package, None)  # to import it would fail
    message = refused("download_failed")
    assert f"needs {name} {needed}, and 99.0 is installed. Run pip install {name}=={needed}." in message
    assert not hub.requests


def test_one_file_alone_uses_the_hub_s_client() -> None:
    files = (ROOT / "deepseek_math").rglob("*.py")
    users = [path.name for path in files if re.search(r"^\s*(import|from) huggingface_hub", path.read_text(), re.M)]
    assert users == ["hub_client.py"]


def test_what_can_not_run_here_is_refused_before_the_first_byte(hub: StandInHub, weights: Path) -> None:
    """Of a repository once its files are listed; of a row of the table before anything is asked."""
    asked: list[list[str]] = []

    def refuse(names: Sequence[str]) -> None:
        asked.append(list(names))
        if names:
            raise ServiceError("package_missing", "no torch")

    with pytest.raises(ServiceError, match="no torch"):
        fetch(find("hf://owner/model"), print, refuse)
    assert [sorted(names) for names in asked] == [[], WANTED]
    assert not (weights / "owner--model.partial").exists()
    asked.clear()
    with pytest.raises(ServiceError, match="no torch"):
        fetch(CHECKPOINTS["rl"], print, refuse)
    assert asked == [["model.safetensors"]]
