"""Files and folders that are replaced: whole or not at all, whatever ends the process that does it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_math.files import replacing_file, replacing_folder, write_whole
from deepseek_math.paths import ROOT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_and_fail(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("half of the n")
    raise OSError("broken")


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    for content in ("old", "new: 求和", b"\xff\x00"):
        write_whole(file, content)
        assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["notes.json"]


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    write_whole(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "\ud800")
    with pytest.raises(OSError, match="broken"), replacing_file(file) as part:
        write_half_and_fail(part)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["notes.json"]


def test_a_folder_is_replaced_with_all_that_was_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for name in ("old", "new"):
        with replacing_folder(folder) as part:
            (part / "deep").mkdir(parents=True)
            (part / "deep" / name).write_text(name)
        assert names(folder / "deep") == [name]
    assert names(tmp_path) == ["model"]


def test_a_failure_leaves_the_old_folder_and_no_part(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(OSError, match="broken"), replacing_folder(folder) as part:
        write_half_and_fail(part / "new")
    assert (names(folder), names(tmp_path)) == (["old"], ["model"])


def test_what_a_killed_process_has_left_is_no_part_of_the_new_folder(tmp_path: Path) -> None:
    for left in ("model.part", "model.old"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "left").touch()
    with replacing_folder(tmp_path / "model") as part:
        part.mkdir()
    assert (names(tmp_path / "model"), names(tmp_path)) == ([], ["model"])


def test_all_content_is_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name.partition('.')[0]}")
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(Path, "rename", renamed)
    write_whole(tmp_path / "file", "x")
    assert steps == ["sync file", "rename", f"sync {tmp_path.name}"]
    steps.clear()
    with replacing_folder(tmp_path / "folder") as part:
        part.mkdir()
        (part / "weights").touch()
    assert steps == ["sync weights", "sync folder", "rename", f"sync {tmp_path.name}"]


def test_two_writers_and_kills_at_any_moment_leave_one_whole_content(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from deepseek_math.files import write_whole
while True:
    for letter in "ab":
        write_whole(Path({str(tmp_path / "file")!r}), letter * 300_000)
"""
    rng = random.Random(8)
    for _ in range(4):
        writers = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in "12"]
        while not (tmp_path / "file").exists():
            time.sleep(0.01)
        for writer in writers:
            time.sleep(0.05 + rng.random() / 20)
            writer.send_signal(signal.SIGKILL)
            content = (tmp_path / "file").read_text()
            assert content in ("a" * 300_000, "b" * 300_000)
        assert [writer.wait() for writer in writers] == [-signal.SIGKILL] * 2
