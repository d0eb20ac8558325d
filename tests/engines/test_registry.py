"""Whether a checkpoint can run here, told before it is downloaded or loaded."""

import importlib.util
import resource
from pathlib import Path

import pytest

from deepseek_math.checkpoints import CHECKPOINTS, find
from deepseek_math.engines import memory
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.memory import free_bytes, require_room_for_weights
from deepseek_math.engines.registry import require_packages
from deepseek_math.engines.weight_files import weight_bytes, weight_files
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.settings import Settings

pytestmark = pytest.mark.unit


def test_a_package_that_a_checkpoint_needs_is_named_before_its_files_are_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    for name in ("rl", "base", "instruct", "llm-67b-chat"):
        with pytest.raises(ServiceError, match=f"package_missing: {name} is a .* needs the package torch"):
            require_packages(name, Settings(), CHECKPOINTS[name].known_files)
    for name in (
        "rl-q4_k_m",
        "smollm2-135m",
        "hf://owner/name",
        "https://example.org/m.gguf",
        "https://example.org/m.tar",
    ):
        require_packages(name, Settings(), find(name).known_files)
    for names in (["config.json", "model-00001-of-00002.safetensors"], ["pytorch_model.bin"]):
        with pytest.raises(ServiceError, match="package_missing"):
            require_packages("mine", Settings(), names)


def test_where_llama_cpp_is_missing_no_gguf_file_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServiceError, match=r"needs the package xllamacpp\. Run make setup-all\.$"):
        require_packages("smollm2-135m", Settings(), CHECKPOINTS["smollm2-135m"].known_files)


def test_weights_that_do_not_fit_are_called_too_large_and_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 7_000_000)
    with pytest.raises(ServiceError, match=r"memory_exceeded: The weights of rl.gguf take 0.01 GiB of memory, and"):
        LlamaCppEngine(ROOT / "weights/tiny/rl.gguf")
    require_room_for_weights("x", 6_999_999)


def test_all_splits_of_a_file_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (ROOT / "weights/tiny/rl.gguf").read_bytes()
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(whole)
    monkeypatch.setattr(memory, "free_bytes", lambda: len(whole) + 1)
    with pytest.raises(ServiceError, match="memory_exceeded"):
        LlamaCppEngine(tmp_path / "m-00001-of-00002.gguf")


def test_a_limit_of_the_shell_bounds_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1, 1))
    assert free_bytes() == 0


def test_weights_that_a_folder_holds_in_two_forms_count_once(tmp_path: Path) -> None:
    """Many repositories have both; transformers loads the safetensors."""
    for name, size in {"model.safetensors": 5, "pytorch_model.bin": 7, "config.json": 1}.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert weight_bytes(tmp_path) == 5
    (tmp_path / "model.safetensors").unlink()
    assert weight_bytes(tmp_path) == 7


def test_a_name_with_signs_of_a_pattern_is_a_name(tmp_path: Path) -> None:
    names = [f"m[q4]-0000{number}-of-00002.gguf" for number in (1, 2)]
    for name in (*names, "m4-00002-of-00002.gguf"):
        (tmp_path / name).touch()
    assert [path.name for path in weight_files(tmp_path / names[0])] == names
