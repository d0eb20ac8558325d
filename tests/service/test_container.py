"""What a container may use is read from its control group, of either version, and the service keeps to it."""

from pathlib import Path

import pytest

from deepseek_math import container
from deepseek_math.engines import memory
from deepseek_math.engines.memory import free_bytes, room, too_large

pytestmark = pytest.mark.unit

GIB = 1 << 30
MACHINE = 50 * GIB  # free


@pytest.fixture(params=["version 2", "version 1"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def group(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Group":
    monkeypatch.setattr(container, "CGROUP", tmp_path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": MACHINE}))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    return Group(version, tmp_path)


class Group:
    """Writes a control group's files as the kernel shows them."""

    def __init__(self, version: str, folder: Path) -> None:
        self._second = version == "version 2"
        self._folder = folder

    def memory(self, limit: int | None, used: int = 0, droppable: int = 0) -> None:
        if self._second:
            names = {"max": "max" if limit is None else limit, "current": used}
            self._write({f"memory.{name}": value for name, value in names.items()})
            self._write({"memory.stat": f"anon {used - droppable}\ninactive_file {droppable}\nactive_file 0"})
        else:
            unlimited = 9223372036854771712
            names = {"limit_in_bytes": unlimited if limit is None else limit, "usage_in_bytes": used}
            self._write({f"memory/memory.{name}": value for name, value in names.items()})
            self._write({"memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {droppable}"})

    def processors(self, allowed: float | None) -> None:
        quota = None if allowed is None else int(allowed * 100_000)
        if self._second:
            self._write({"cpu.max": f"{'max' if quota is None else quota} 100000"})
        else:
            self._write({"cpu/cpu.cfs_quota_us": quota or -1, "cpu/cpu.cfs_period_us": 100_000})

    def _write(self, files: dict[str, object]) -> None:
        for name, value in files.items():
            (self._folder / name).parent.mkdir(exist_ok=True)
            (self._folder / name).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("limit", "free"), [(None, MACHINE), (16 * GIB, 13 * GIB), (99 * GIB, MACHINE), (9 * GIB, 6 * GIB)]
)
def test_memory_that_the_kernel_would_give_back_counts_as_free(group: Group, limit: int | None, free: int) -> None:
    """After a download of 7 GiB and with 3 GiB in use."""
    group.memory(limit, used=10 * GIB, droppable=7 * GIB)
    assert free_bytes() == free


@pytest.mark.parametrize(("allowed", "cores"), [(None, 64), (0.5, 1), (1, 1), (1.5, 2), (2, 2), (100, 64)])
def test_processors_are_those_that_the_container_may_use(group: Group, allowed: float | None, cores: int) -> None:
    """More threads than that wait for each other: a machine of 64 cores gives a container of 2 the time of 2."""
    group.processors(allowed)
    assert container.cores() == cores


def test_a_machine_without_a_control_group_has_all(group: Group) -> None:
    assert container.memory_limit() is None
    assert container.memory_used() == 0
    assert (container.cores(), free_bytes()) == (64, MACHINE)
    assert room(weights=4 * GIB) == MACHINE * memory.CPU_SHARE  # which may swap


def test_the_kv_cache_leaves_a_container_what_all_else_needs(group: Group) -> None:
    group.memory(8 * GIB, used=GIB)
    programs = container.programs_at_once(8 * GIB) * container.PROGRAM_BYTES
    assert room(weights=4 * GIB) == 7 * GIB - 4 * GIB * memory.LOADED - memory.BESIDE_BYTES - programs
    group.memory(40 * GIB)
    assert room(weights=4 * GIB) == 40 * GIB * memory.CPU_SHARE


@pytest.mark.parametrize(("limit", "weights"), [(GIB, 4 * GIB), (GIB // 4, 8 << 20), (3 * GIB, 0)])
def test_the_limit_that_a_refusal_asks_for_is_enough(group: Group, limit: int, weights: int) -> None:
    need = 2 * GIB
    group.memory(limit, used=100 << 20)
    assert room(weights) < need
    said = too_large(4096, need, room(weights), weights).message
    asked = float(said.split("needs ")[1].split(" GiB")[0])
    group.memory(int((asked + 0.01) * GIB), used=100 << 20)
    assert room(weights) >= need
    group.memory(int((asked - 0.01) * GIB), used=100 << 20)
    assert room(weights) < need


@pytest.mark.parametrize(("limit", "programs"), [(None, 64), (4 * GIB, 6), (GIB // 2, 2), (1000 * GIB, 64)])
def test_programs_take_a_small_part_of_a_container(group: Group, limit: int | None, programs: int) -> None:
    assert container.programs_at_once(limit) == programs
    group.processors(1)
    assert container.programs_at_once(limit) == 2
