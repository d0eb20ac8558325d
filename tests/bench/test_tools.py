"""The bench's tools: a download beside curl, and a checkpoint of the 7B's shape, both on a small size."""

import json
import shutil
from pathlib import Path

import pytest

from deepseek_math.bench import download, seven_b


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_a_download_is_measured_beside_curl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert download.main(["--megabytes", "3", "--rounds", "1", "--folder", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"curl MB/s", "ranges MB/s", "ranges check MB/s", "ranges peak MB", "ranges over curl"}
    assert found["ranges peak MB"] > 10
    assert not list(tmp_path.iterdir())


def test_a_download_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        download.main(["--megabytes", "0"])
    assert "--megabytes 0 --rounds 3: use 1 or more of each" in capsys.readouterr().err


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools' own paths with a shape that fits a test."""
    sizes = {seven_b.HIDDEN: 256, seven_b.INNER: 512, seven_b.VOCABULARY: 100_002}
    for table in ("MATRICES", "ENDS"):
        shapes = getattr(seven_b, table)
        monkeypatch.setattr(seven_b, table, {name: tuple(map(sizes.get, shape)) for name, shape in shapes.items()})
    for name in ("HIDDEN", "INNER", "VOCABULARY"):
        monkeypatch.setattr(seven_b, name, sizes[getattr(seven_b, name)])
    monkeypatch.setattr(seven_b, "HEADS", 4)
    monkeypatch.setattr(seven_b, "LAYERS", 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("action", ["make", "make-gguf"])
def test_a_made_checkpoint_loads_as_the_service_does(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("folder" if action == "make" else "file.gguf")
    assert seven_b.main([action, str(path)]) == 0
    monkeypatch.setenv("SLOTS", "1")
    monkeypatch.setenv("CONTEXT", "256")
    assert seven_b.main(["load", str(path)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    files = [path] if path.is_file() else list(path.glob("*.safetensors"))
    assert figures["weights_gb"] == round(sum(file.stat().st_size for file in files) / 1e9, 3)
    assert figures["peak_gb"] > figures["before_gb"]


def test_a_checkpoint_that_is_missing_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert seven_b.main(["load", str(tmp_path / "nowhere")]) == 1
    assert "bench: " in capsys.readouterr().err.splitlines()[-1]
