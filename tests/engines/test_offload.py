"""llama.cpp's settings by the kind of weights, and its layers on a GPU. No build with a GPU runs here: what the binding
says of its devices is stood in for, at its edge, and nothing is loaded there."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np
import pytest
import xllamacpp

from deepseek_math.engines.llama_cpp.engine import INEXACT_STEP, PREFILL_STEP, LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.llama_cpp.offload import RESERVED, USABLE, Device, devices, plan
from deepseek_math.errors import ServiceError
from deepseek_math.settings import Settings
from tests.support.random_model import LAYERS

GIB = 1 << 30
METAL = Device("MTL0", "Apple M4", 12 * GIB)
SLOTS, EACH, WEIGHTS = 16, GIB // 4, 4 * GIB  # a model of 4 GiB with 30 blocks, a KV cache of 256 MiB a request


@pytest.fixture
def folder() -> Iterator[TemporaryDirectory[str]]:
    with TemporaryDirectory() as name:
        kept = TemporaryDirectory(dir=name)
        yield kept
        kept.cleanup()


def params(engine: LlamaCppEngine, folder: TemporaryDirectory[str]) -> xllamacpp.CommonParams:
    engine._folder = folder
    return engine._params("socket")


def of_kind(path: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """A file that says no more of itself than a header does, with one matrix of that kind in its block."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(256)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-llm")
    writer.add_token_list(["a", "b"])
    _, size = gguf.GGML_QUANT_SIZES[kind]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    rows = np.zeros((2, 256 // block * size), dtype=np.uint8)
    writer.add_tensor("output.weight", rows, raw_dtype=kind)
    writer.add_tensor("blk.0.ffn_up.weight", rows, raw_dtype=kind)
    writer.add_tensor("blk.0.ffn_norm.weight", np.ones(256, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# Exactness

KINDS = gguf.GGMLQuantizationType


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        (KINDS.Q4_0, True),
        (KINDS.Q4_1, True),
        (KINDS.Q5_0, True),
        (KINDS.Q8_0, True),
        (KINDS.F16, True),
        (KINDS.BF16, False),
        (KINDS.Q4_K, False),
        (KINDS.Q5_K, False),
        (KINDS.Q6_K, False),
    ],
)
def test_settings_for_exactness_go_to_the_weights_that_have_it(
    kind: gguf.GGMLQuantizationType, exact: bool, tmp_path: Path, folder: TemporaryDirectory[str]
) -> None:
    path = of_kind(tmp_path / "model.gguf", kind)
    assert read_header(path).exact is exact
    flash, types = xllamacpp.llama_flash_attn_type, xllamacpp.ggml_type
    for asked in (None, True, False):
        engine = LlamaCppEngine(path, context=1024, slots=2, exact=asked)
        told = params(engine, folder)
        has = exact if asked is None else asked
        assert told.cache_type_v == (types.GGML_TYPE_BF16 if has else types.GGML_TYPE_F16)
        chosen = flash.LLAMA_FLASH_ATTN_TYPE_ENABLED if has else flash.LLAMA_FLASH_ATTN_TYPE_AUTO
        assert told.flash_attn_type == chosen
        assert not told.kv_unified
        assert engine.settings == ("context 1024" if has else "context 1024, V in float16")


def test_large_models_read_prompts_in_longer_steps_where_texts_are_not_exact(
    random_model: Path, folder: TemporaryDirectory[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_math.engines.llama_cpp.engine.SMALL_MODEL", 0)
    for exact, step in ((True, PREFILL_STEP), (False, INEXACT_STEP)):
        told = params(LlamaCppEngine(random_model, context=512, slots=1, exact=exact), folder)
        assert (told.n_batch, told.n_ubatch) == (step, step)


# Layers


def test_this_build_has_no_gpu_and_all_layers_stay(random_model: Path, folder: TemporaryDirectory[str]) -> None:
    assert devices() == []
    engine = LlamaCppEngine(random_model, context=512, slots=2)
    assert params(engine, folder).n_gpu_layers == 0
    assert engine._notes() == ["all layers on the CPU"]
    with pytest.raises(ServiceError, match="setting_invalid: GPU_LAYERS=3.*no GPU"):
        LlamaCppEngine(random_model, context=512, slots=2, gpu_layers=3)


def test_all_layers_go_where_they_fit_and_slots_shrink_to_what_is_left() -> None:
    found = plan(None, [METAL], 30, WEIGHTS, EACH, SLOTS)
    assert (found.layers, found.of, found.slots, found.host_share) == (31, 31, SLOTS, 0.0)
    assert str(found) == "31 of 31 layers on MTL0 (Apple M4)"
    tight = Device("MTL0", "Apple M1", int((WEIGHTS + 3.5 * EACH + RESERVED) / USABLE))
    found = plan(None, [tight], 30, WEIGHTS, EACH, SLOTS)
    assert (found.layers, found.slots) == (31, 3)


def test_some_layers_go_where_not_all_fit() -> None:
    small = Device("CUDA0", "GTX 1650", 4 * GIB)
    found = plan(None, [small], 30, WEIGHTS, EACH, SLOTS)
    assert found.slots is None
    assert 0 < found.layers < 31
    assert found.layers / 31 * (WEIGHTS + SLOTS * EACH) <= USABLE * small.free - RESERVED
    assert found.host_share == 1 - found.layers / 31
    assert plan(None, [small, small], 30, WEIGHTS, EACH, SLOTS).layers > found.layers
    assert plan(None, [Device("CUDA0", "full", GIB // 4)], 30, WEIGHTS, EACH, SLOTS).layers == 0


@pytest.mark.parametrize(("wanted", "layers"), [(0, 0), (7, 7), (31, 31), (99, 31)])
def test_what_is_asked_for_is_done(wanted: int, layers: int) -> None:
    assert plan(wanted, [METAL], 30, WEIGHTS, EACH, SLOTS).layers == layers


def entry(kind: Any, name: str, free: int) -> dict[str, Any]:
    """What `xllamacpp.get_device_info` says of one device."""
    return {"name": name, "description": f"the {name}", "memory_free": free, "memory_total": free, "type": kind}


def test_memory_and_what_is_told_follow_the_devices(
    random_model: Path, folder: TemporaryDirectory[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    types = xllamacpp.ggml_backend_dev_type
    cpu = entry(types.GGML_BACKEND_DEVICE_TYPE_CPU, "CPU", 64 * GIB)
    built_in = entry(types.GGML_BACKEND_DEVICE_TYPE_IGPU, "Vulkan1", 8 * GIB)
    gpu = entry(types.GGML_BACKEND_DEVICE_TYPE_GPU, "CUDA0", 8 * GIB)
    monkeypatch.setattr(xllamacpp, "get_device_info", lambda: [cpu, built_in, gpu])
    assert [device.name for device in devices()] == ["CUDA0"]
    monkeypatch.setattr(
        "psutil.virtual_memory", lambda: type("Memory", (), {"available": 1 << 20})
    )  # next to none here
    engine = LlamaCppEngine(random_model, context=1024, slots=4)
    assert engine.gate.slots == 4
    assert params(engine, folder).n_gpu_layers == LAYERS + 1
    assert engine.settings == f"context 1024, V in float16, {LAYERS + 1} of {LAYERS + 1} layers on CUDA0 (the CUDA0)"
    assert f"{LAYERS + 1} of {LAYERS + 1} layers on CUDA0 (the CUDA0)" in engine._notes()
    with pytest.raises(ServiceError, match="memory_exceeded"):
        LlamaCppEngine(random_model, context=1024, slots=4, gpu_layers=0)
    monkeypatch.setattr(xllamacpp, "get_device_info", lambda: [cpu, built_in])
    assert [device.name for device in devices()] == ["Vulkan1"]


def test_settings_ask_for_both() -> None:
    assert Settings.read({}).gpu_layers is None
    assert Settings.read({"GPU_LAYERS": "auto"}).gpu_layers is None
    assert [Settings.read({"GPU_LAYERS": value}).gpu_layers for value in ("0", "12")] == [0, 12]
    assert [Settings.read({"EXACT": value}).exact for value in ("", "0", "1")] == [None, False, True]
    for environment in ({"GPU_LAYERS": "all"}, {"GPU_LAYERS": "-1"}, {"EXACT": "yes"}):
        with pytest.raises(ServiceError, match="setting_invalid"):
            Settings.read(environment)
