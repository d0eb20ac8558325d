"""Downloads from a server that fails in every way, and what is on the disk afterwards: whole files, or none."""

import email.utils
import hashlib
import io
import os
import queue
import random
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_math.checkpoints import (
    Checkpoint,
    checkpoint_download,
    checkpoint_folder,
    download_faults,
    fetch,
    find,
    lock_file,
    ranges,
    store,
)
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy
from tests.support.hostile_server import Fault, HostileServer
from tests.support.loopback import running

UNIT = 1 << 16
SIZE = 6_000_001
DATA = b"GGUF" + random.Random(0).randbytes(SIZE - 8) + b"FUGG"  # a GGUF file by its first bytes, from either end
DIGEST = hashlib.sha256(DATA).hexdigest()
Record = Callable[[str, object], None]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of the test's own; small units and short waits, so that a test takes a second."""
    monkeypatch.setattr(store, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(ranges, "UNIT", UNIT)
    monkeypatch.setattr(download_faults, "RETRY", replace(download_faults.RETRY, first_wait=0.01))
    monkeypatch.setattr(download_faults, "READ_TIMEOUT", 1.0)
    return tmp_path / "weights"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with running(HostileServer({"/m.gguf": DATA})) as server:
        yield server


def checkpoint(server: HostileServer, digest: str | None = DIGEST) -> Checkpoint:
    return find(f"{server.url}/m.gguf" + (f"#sha256={digest}" if digest else ""))


def refused(code: str, target: Checkpoint) -> str:
    """What a person reads when fetching fails."""
    with pytest.raises(ServiceError) as error:
        fetch(target, lambda line: None)
    assert error.value.code == code, error.value
    assert not (store.WEIGHTS / target.name).exists()
    return error.value.message


def test_a_file_arrives_whole_and_the_second_start_touches_no_network(weights: Path, server: HostileServer) -> None:
    said: list[str] = []
    path = fetch(checkpoint(server), said.append)
    assert path.read_bytes() == DATA
    assert sorted(file.name for file in path.parent.iterdir()) == ["m.gguf", "source.json"]
    assert not list(weights.glob("*.partial"))
    assert server.sent == SIZE + 1  # the first byte is asked for alone
    asked = len(server.requests)
    said.clear()
    assert fetch(checkpoint(server), said.append) == path
    assert len(server.requests) == asked
    assert len(said) == 1
    assert "no download" in said[0]


@pytest.mark.parametrize("digest", [DIGEST, None])
def test_a_hundred_dropped_connections_cost_no_byte(
    weights: Path, server: HostileServer, digest: str | None, record_property: Record
) -> None:
    rng = random.Random(1)
    server.faults = [Fault(after=rng.randrange(0, UNIT)) for _ in range(100)]
    path = fetch(checkpoint(server, digest), lambda line: None)
    assert path.read_bytes() == DATA
    assert not server.faults
    record_property("bytes again", server.sent - 1 - SIZE)
    assert server.sent - 1 <= SIZE + 100 * (1 << 16)  # a drop is seen once what was on its way has arrived


def test_a_hundred_starts_each_end_at_another_byte_and_the_last_one_is_whole(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """Each start gets a few answers, then nothing but refusals: it gives up, and the next goes on."""
    monkeypatch.setattr(download_faults, "RETRY", RetryPolicy(attempts=1))
    rng = random.Random(2)
    starts = 0
    while starts < 300:
        starts += 1
        server.faults = [Fault(after=rng.randrange(0, 3 * UNIT)) for _ in range(8)]
        try:
            path = fetch(checkpoint(server), lambda line: None)
            break
        except ServiceError:
            assert not (weights / checkpoint(server).name).exists()
    assert path.read_bytes() == DATA
    record_property("starts", starts)
    record_property("bytes again", server.sent - starts - SIZE)
    assert starts > 3
    assert server.sent - starts <= SIZE + starts * 8 * UNIT  # at most one unit a connection


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "HF_TOKEN"), (403, "refuses access"), (404, "no such file"), (410, "410")]
)
def test_a_refusal_is_told_at_once_and_in_one_sentence(
    weights: Path, server: HostileServer, status: int, reason: str
) -> None:
    server.always = Fault(status=status)
    message = refused("download_failed", checkpoint(server))
    assert str(status) in message
    assert reason in message
    assert len([request for request in server.requests if request[1] == "/m.gguf"]) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_waited_out(weights: Path, server: HostileServer, status: int) -> None:
    server.faults = [Fault(status=status) for _ in range(4)]
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    assert server.sent == SIZE + 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=429), "the server answers 429"),
        (Fault(status=500), "the server answers 500"),
        (Fault(after=0), "the server closed the connection"),
    ],
    ids=["429", "500", "drop"],
)
def test_a_lasting_fault_is_told_after_a_few_attempts(
    weights: Path, server: HostileServer, fault: Fault, reason: str
) -> None:
    server.always = fault
    assert reason in refused("download_failed", checkpoint(server))
    assert len(server.requests) <= 2 + (download_faults.RETRY.attempts or 0) * ranges.CONNECTIONS


@pytest.mark.parametrize("header", ["Retry-After", "retry-after"])
@pytest.mark.parametrize("date", [True, False])
def test_retry_after_is_obeyed(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch, header: str, date: bool
) -> None:
    """As seconds and as a date, which is past the longest wait here."""
    monkeypatch.setattr(download_faults, "RETRY", replace(download_faults.RETRY, longest_wait=1.0))
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", _recording(waits, threading.Event.wait))
    value = email.utils.formatdate(time.time() + 3600, usegmt=True) if date else "1"
    server.faults = [Fault(status=429, headers={header: value})]
    fetch(checkpoint(server), lambda line: None)
    assert 1.0 in waits


def _recording(waits: list[float], wait: Callable[..., bool]) -> Callable[..., bool]:
    def recorded(event: threading.Event, timeout: float | None = None) -> bool:
        waits.append(timeout or 0.0)
        return wait(event, timeout)

    return recorded


def test_a_stalled_socket_is_given_up_and_its_bytes_are_kept(weights: Path, server: HostileServer) -> None:
    server.faults = [Fault(after=1000, stall=True)]
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    assert server.sent - 1 == SIZE


def test_a_shorter_answer_than_asked_for_is_no_whole_one(weights: Path, server: HostileServer) -> None:
    server.faults = [Fault(shorter=500) for _ in range(5)]
    assert fetch(checkpoint(server, None), lambda line: None).read_bytes() == DATA


def test_a_server_without_ranges_is_read_in_one_go(weights: Path, server: HostileServer) -> None:
    server.always = Fault(ranges=False)
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    server.always = Fault(ranges=False, after=1000)
    assert "sends no parts" in refused("download_failed", find(f"{server.url}/m.gguf?again"))


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changes_between_two_ranges_is_never_mixed(
    weights: Path, server: HostileServer, etags: bool
) -> None:
    other = b"GGUF" + random.Random(9).randbytes(SIZE - 4)
    server.etags = etags
    server.bytes_per_second = 4e6
    threading.Timer(0.1, lambda: server.files.update({"/m.gguf": other})).start()
    server.faults = [Fault(after=200_000) for _ in range(12)]
    if etags:
        assert "has changed on the server" in refused("download_failed", checkpoint(server, None))
    else:  # then only the digest shows it
        assert DIGEST in refused("checkpoint_damaged", checkpoint(server))
    server.bytes_per_second = None
    server.faults.clear()
    assert fetch(checkpoint(server, None), lambda line: None).read_bytes() == other


def test_a_wrong_digest_names_the_file_and_both_digests_and_the_next_start_fetches_anew(
    weights: Path, server: HostileServer
) -> None:
    wrong = bytes(reversed(DATA))
    server.files["/m.gguf"] = wrong
    message = refused("checkpoint_damaged", checkpoint(server))
    assert all(text in message for text in ("m.gguf", DIGEST, hashlib.sha256(wrong).hexdigest()))
    server.files["/m.gguf"] = DATA
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA


def test_a_digest_beside_the_file_counts(weights: Path, server: HostileServer) -> None:
    server.files["/m.gguf.sha256"] = f"{'0' * 64}  m.gguf\n".encode()
    assert "0" * 64 in refused("checkpoint_damaged", checkpoint(server, None))
    server.files["/m.gguf.sha256"] = f"{DIGEST} *m.gguf\n".encode()
    assert fetch(checkpoint(server, None), lambda line: None).read_bytes() == DATA


def test_a_digest_that_can_t_be_had_for_a_while_is_waited_for(weights: Path, server: HostileServer) -> None:
    server.files["/m.gguf.sha256"] = f"{'0' * 64}  other.gguf\n{DIGEST}  m.gguf\n".encode()
    server.faults_at["/m.gguf.sha256"] = [Fault(status=503)] * 2
    server.files["/m.gguf"] = DATA[::-1]
    assert DIGEST in refused("checkpoint_damaged", checkpoint(server, None))


@pytest.mark.parametrize(
    ("digest", "counted"), [(DIGEST, "1 of 1"), (None, "0 of 1 files, the source publishes no more")]
)
def test_how_many_digests_were_checked_is_said(
    weights: Path, server: HostileServer, digest: str | None, counted: str
) -> None:
    said: list[str] = []
    fetch(checkpoint(server, digest), said.append)
    assert f"digests checked: {counted}" in said[-1]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_digest_in_the_address_counts_for_what_is_in_place_too(
    weights: Path, server: HostileServer, recorded: bool
) -> None:
    path = fetch(checkpoint(server, None), lambda line: None)
    if not recorded:
        (path.parent / checkpoint_folder.NOTES).unlink()
    assert fetch(checkpoint(server), lambda line: None) == path
    with pytest.raises(ServiceError, match=f"checkpoint_damaged.*{DIGEST}.*{'0' * 64}"):
        fetch(checkpoint(server, "0" * 64), lambda line: None)


def test_what_nothing_tells_from_another_version_is_never_gone_on_with(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.etags = False
    with monkeypatch.context() as impatient:
        impatient.setattr(download_faults, "RETRY", RetryPolicy(attempts=1))
        server.faults = [Fault(after=SIZE // 2)]
        refused("download_failed", checkpoint(server, None))
    server.files["/m.gguf"] = DATA[::-1]
    server.faults = [Fault(after=SIZE // 2)]
    assert fetch(checkpoint(server, None), lambda line: None).read_bytes() == DATA[::-1]


def test_a_digest_decides_where_mirrors_call_the_same_file_by_different_etags(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "more_headers", lambda path: {"ETag": str(len(server.requests))})
    server.etags = False
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    assert "has changed on the server" in refused("download_failed", find(f"{server.url}/m.gguf?2"))


@pytest.mark.parametrize("size", [None, SIZE // 2])
def test_a_journal_without_its_part_counts_for_nothing(weights: Path, server: HostileServer, size: int | None) -> None:
    partial = weights / f"{checkpoint(server, None).name}.partial"
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(download_faults, "RETRY", RetryPolicy(attempts=1))
        server.faults = [Fault(), Fault(), Fault(after=0)]
        refused("download_failed", checkpoint(server, None))
    part = partial / "m.gguf.part"
    part.with_name("m.gguf.part.done").write_bytes(b"\1" * 99)
    part.unlink()
    if size:
        part.write_bytes(bytes(size))
    assert fetch(checkpoint(server, None), lambda line: None).read_bytes() == DATA


def test_each_connection_gets_its_share_of_a_small_file(weights: Path, server: HostileServer) -> None:
    fetch(checkpoint(server), lambda line: None)
    assert len([request for request in server.requests if request[1] == "/m.gguf"]) == 1 + ranges.CONNECTIONS


@pytest.mark.parametrize("value", ["Fri, 31 Dec 99999 23:59:59 GMT", "soon", "9" * 400])
def test_a_retry_after_that_means_nothing_is_no_fault(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(download_faults, "RETRY", replace(download_faults.RETRY, longest_wait=0.1))
    server.faults = [Fault(status=503, headers={"Retry-After": value})]
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA


def test_an_address_where_nobody_listens_is_given_up_soon_and_named(weights: Path) -> None:
    said: list[str] = []
    with pytest.raises(ServiceError) as error:
        fetch(find("http://127.0.0.1:9/m.gguf"), said.append)
    assert error.value.code == "download_failed"
    assert "m.gguf from 127.0.0.1:9 could not be downloaded: connection refused" in error.value.message
    assert "is kept" not in error.value.message
    assert [line for line in said if "127.0.0.1:9" in line and "trying again" in line] == said
    assert len(said) == download_faults.REFUSED_ATTEMPTS - 1
    assert not list(weights.iterdir())


def test_a_file_that_comes_compressed_is_refused(weights: Path, server: HostileServer) -> None:
    server.encoding = "gzip"
    assert "compressed (gzip)" in refused("download_failed", checkpoint(server))


def test_everything_is_on_the_disk_before_the_folder_has_its_name(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(file: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)

    monkeypatch.setattr(os, "fsync", fsync)
    name = fetch(checkpoint(server), lambda line: None).parent.name
    partial = f"{name}.partial"
    notes = [re.sub(r"\.\d+\.part$", "", each) for each in synced[:6]]
    assert notes == [".files.json", partial, lock_file.NAME, "weights", "source.json", partial]
    assert sorted(synced[6:8]) == ["m.gguf", "source.json"]
    assert synced[8:] == [partial, "weights"]


def test_what_processes_that_were_ended_have_left_is_no_part_of_the_checkpoint(
    weights: Path, server: HostileServer
) -> None:
    partial = weights / f"{checkpoint(server).name}.partial"
    (partial / "tmpabc").mkdir(parents=True)
    (partial / "tmpabc" / "x.whl").write_bytes(b"x")
    (partial / "gone.gguf.part.done").write_bytes(b"x")
    folder = fetch(checkpoint(server), lambda line: None).parent
    assert sorted(path.name for path in folder.iterdir()) == ["m.gguf", "source.json"]
    partial.mkdir()
    fetch(checkpoint(server), lambda line: None)
    assert {path.name for path in weights.iterdir()} == {folder.name, lock_file.NAME}


def test_a_file_that_is_cut_short_in_place_is_told(weights: Path, server: HostileServer) -> None:
    path = fetch(checkpoint(server), lambda line: None)
    path.write_bytes(DATA[:-1])
    with pytest.raises(ServiceError, match=f"checkpoint_unusable.*m.gguf had {SIZE} bytes"):
        fetch(checkpoint(server), lambda line: None)
    path.unlink()
    with pytest.raises(ServiceError, match="checkpoint_unusable.*it is gone"):
        fetch(checkpoint(server), lambda line: None)


def test_a_folder_that_can_t_be_written_is_told(weights: Path, server: HostileServer) -> None:
    weights.write_text("a file where the folder should be")
    with pytest.raises(ServiceError, match="download_failed.*can't be stored in"):
        fetch(checkpoint(server), lambda line: None)


def test_room_on_the_disk_is_asked_for_first(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_download, "SPARE_BYTES", 10**15)
    message = refused("disk_full", checkpoint(server))
    assert "GB are missing" in message
    assert server.sent <= 1


def test_a_full_disk_is_told_and_the_next_start_goes_on(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """A disk of 4 MB in memory, which is then given more."""
    weights.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", weights], check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        with monkeypatch.context() as unchecked:
            # As if another program took the room after the check.
            unchecked.setattr(checkpoint_download, "require_disk_space", lambda *arguments: None)
            message = refused("disk_full", checkpoint(server))
        assert "The disk is full" in message
        assert "missing" in refused("disk_full", checkpoint(server))
        subprocess.run(["mount", "-o", "remount,size=99m", weights], check=True)
        before = server.sent
        assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
        record_property("bytes again", server.sent - SIZE - 3)
        assert server.sent - before < SIZE // 2
    finally:
        subprocess.run(["umount", weights], check=True)


def test_a_file_that_may_not_grow_is_told_as_a_full_disk(weights: Path, server: HostileServer) -> None:
    """A write beyond the limit on a file's size fails as one on a full disk does, with another number (EFBIG)."""
    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({SIZE // 2}, resource.RLIM_INFINITY))
"""
    ended = start(weights, server, program)
    assert ended.wait(60) == 1
    assert ended.stdout is not None
    assert "disk_full" in ended.stdout.read()
    assert not (weights / checkpoint(server).name).exists()
    before = server.sent
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    assert server.sent - before - 1 <= SIZE


def start(weights: Path, server: HostileServer, program: str = "") -> subprocess.Popen[str]:
    """A process that fetches the file, with the same small units."""
    digest = hashlib.sha256(server.files["/m.gguf"]).hexdigest()
    program += f"""
import sys
from pathlib import Path
from dataclasses import replace
from deepseek_math.checkpoints import download_faults, fetch, find, ranges, store
from deepseek_math.errors import ServiceError
store.WEIGHTS, ranges.UNIT = Path({str(weights)!r}), {UNIT}
download_faults.RETRY = replace(download_faults.RETRY, first_wait=0.01)
try:
    print(fetch(find("{server.url}/m.gguf#sha256={digest}"), lambda line: print(line, flush=True)), flush=True)
except ServiceError as error:
    print(error, flush=True)
    sys.exit(1)
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_kill_costs_at_most_one_unit_a_connection(
    weights: Path, server: HostileServer, record_property: Record
) -> None:
    server.bytes_per_second = 1e6  # for each connection
    rng, kills = random.Random(3), 0
    while kills < 3:
        process = start(weights, server)
        before = server.sent
        while server.sent < before + SIZE // 6 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() / 20)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not (weights / checkpoint(server).name).exists()
    time.sleep(0.3)  # the server notices that its clients are gone
    server.bytes_per_second = None
    assert fetch(checkpoint(server), lambda line: None).read_bytes() == DATA
    again = server.sent - kills - 1 - SIZE
    record_property("bytes again", again)
    in_flight = 2 << 20  # what the server had handed to the system for a client that was no more
    assert again <= kills * (ranges.CONNECTIONS * UNIT + in_flight)
    assert again < SIZE


def test_two_processes_that_start_at_once_share_one_download(weights: Path, server: HostileServer) -> None:
    server.bytes_per_second = 1e4  # until both have begun
    processes = [
        start(weights, server, "from deepseek_math.checkpoints import store\nstore.LOCK_REPORT_SECONDS = 0.2")
        for _ in "12"
    ]
    lines: queue.Queue[str] = queue.Queue()
    threads = [threading.Thread(target=_hand_on, args=(process, lines)) for process in processes]
    for thread in threads:
        thread.start()
    said: list[str] = []
    while sum("waiting for it" in line for line in said) < 2:  # it is said again and again
        said.append(lines.get(timeout=60))
    server.bytes_per_second = None
    assert [process.wait(60) for process in processes] == [0, 0]
    for thread in threads:
        thread.join()
    assert server.sent == SIZE + 1
    assert (weights / checkpoint(server).name / "m.gguf").read_bytes() == DATA
    assert {path.name for path in weights.iterdir()} == {checkpoint(server).name, lock_file.NAME}


def _hand_on(process: subprocess.Popen[str], lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)


def test_a_tar_of_a_checkpoint_folder_is_unpacked_in_place(weights: Path, tmp_path: Path) -> None:
    inner = tmp_path / "made" / "folder"
    inner.mkdir(parents=True)
    (inner / "config.json").write_text("{}")
    (inner / "model.safetensors").write_bytes(DATA)
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "made", "made")
    with running(HostileServer({"/m.tar.gz": (tmp_path / "m.tar.gz").read_bytes()})) as server:
        folder = fetch(find(f"{server.url}/m.tar.gz"), lambda line: None)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "source.json"]
    assert (folder / "model.safetensors").read_bytes() == DATA
    assert [path for path in weights.iterdir() if path.is_dir()] == [folder]


def test_a_tar_that_reaches_out_of_its_folder_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        tar.add(tmp_path / "config.json", "../../../config.json")
    with running(HostileServer({"/m.tar": (tmp_path / "m.tar").read_bytes()})) as server:
        refused("checkpoint_unusable", find(f"{server.url}/m.tar"))


def test_a_tar_of_the_hub_s_cache_keeps_what_its_links_mean(weights: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "m" / "blobs", tmp_path / "m" / "snapshots" / "main"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, data in {"config.json": b"{}", "model.safetensors": DATA}.items():
        (blobs / name[:3]).write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{name[:3]}")
    (snapshot / "same.json").symlink_to("config.json")
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        tar.add(tmp_path / "m", "m")
    with running(HostileServer({"/m.tar": (tmp_path / "m.tar").read_bytes()})) as server:
        folder = fetch(find(f"{server.url}/m.tar"), lambda line: None)
        assert (folder / "model.safetensors").read_bytes() == DATA
        assert (folder / "same.json").read_bytes() == b"{}"
        (snapshot / "gone.json").symlink_to("../../blobs/gone")
        with tarfile.open(tmp_path / "m.tar", "w") as tar:
            tar.add(tmp_path / "m", "m")
        server.files["/m.tar"] = (tmp_path / "m.tar").read_bytes()
        assert "gone.json in the tar is a link to a file that the tar does not hold" in refused(
            "checkpoint_unusable", find(f"{server.url}/m.tar?2")
        )


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2"])
def test_a_tar_that_ends_too_soon_is_told(weights: Path, kind: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        member = tarfile.TarInfo("m/model.safetensors")
        member.size = 100_000
        tar.addfile(member, io.BytesIO(DATA))
    with running(HostileServer({f"/m.tar.{kind}": packed.getvalue()[:50_000]})) as server:
        assert "can't be unpacked" in refused("checkpoint_unusable", find(f"{server.url}/m.tar.{kind}"))


def test_room_for_unpacking_is_asked_for_though_the_tar_is_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("")
    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        tar.add(tmp_path / "x", "x")
    with running(HostileServer({"/m.tar": (tmp_path / "m.tar").read_bytes()})) as server:
        refused("checkpoint_unusable", find(f"{server.url}/m.tar"))
        monkeypatch.setattr(checkpoint_download, "SPARE_BYTES", 10**15)
        assert "GB are missing" in refused("disk_full", find(f"{server.url}/m.tar"))


def test_a_safetensors_address_brings_what_lies_beside_it(weights: Path) -> None:
    beside = ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json")
    with running(HostileServer({"/a/mine.safetensors": DATA} | {f"/a/{name}": b"{}" for name in beside})) as server:
        server.faults_at["/a/generation_config.json"] = [Fault(status=403)]
        server.faults_at["/a/chat_template.jinja"] = [Fault(status=500)]
        folder = fetch(find(f"{server.url}/a/mine.safetensors?key=1"), lambda line: None)
        found = {path.name for path in folder.iterdir()}
        assert found == {"model.safetensors", "source.json", *beside[:3]}  # transformers knows that name alone
        del server.files["/a/tokenizer.json"]
        message = refused("checkpoint_unusable", find(f"{server.url}/a/mine.safetensors?2"))
        server.faults_at["/a/tokenizer_config.json"] = [Fault(status=500)] * 99
        server.files["/a/tokenizer.json"] = b"{}"
        assert "tokenizer_config.json" in refused("download_failed", find(f"{server.url}/a/mine.safetensors?3"))
    assert "tokenizer.json must be in the same folder" in message


def test_one_shard_brings_the_others_and_their_index(weights: Path) -> None:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    files = dict.fromkeys((f"/{name}" for name in (*names, "config.json", "tokenizer.json")), b"{}")
    with running(HostileServer(files)) as server:
        message = refused("checkpoint_unusable", find(f"{server.url}/{names[1]}"))
        assert "model.safetensors.index.json must be in the same folder" in message
        server.files["/model.safetensors.index.json"] = b"{}"
        folder = fetch(find(f"{server.url}/{names[1]}"), lambda line: None)
    assert {path.name for path in folder.iterdir()} >= {*names, "model.safetensors.index.json"}


def test_a_log_gets_a_line_now_and_then_with_speed_and_time_left(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_math.checkpoints.download_progress.LOG_SECONDS", 0.05)
    server.bytes_per_second = 2e6
    said: list[str] = []
    fetch(checkpoint(server), said.append)
    lines = [line for line in said if "MB/s" in line]
    assert 2 <= len(lines) < 40
    assert " % " in lines[-1]
    assert lines[-1].endswith("left")


def test_an_address_keeps_the_token_of_the_hub_to_itself(
    weights: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "HF_TOKEN", "hf_secret")
    fetch(checkpoint(server), lambda line: None)
    assert not any("authorization" in {name.lower() for name in headers} for _, _, headers in server.requests)


def test_a_file_that_is_called_gguf_and_is_none_is_refused_and_not_kept(server: HostileServer, weights: Path) -> None:
    for content in (b"<html>", b"", b"GGU", DATA[1:]):
        server.files["/m.gguf"] = content
        message = refused("checkpoint_unusable", find(f"{server.url}/m.gguf"))
        assert f"begins with {content[:4]!r}" in message
        assert not [path for path in weights.rglob("m.gguf*") if path.is_file()]
    server.files["/m.gguf"] = DATA
    fetch(find(f"{server.url}/m.gguf"), lambda line: None)
