"""Probes read the word that /health-check says, and a service that stays unwell is ended."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deepseek_math import restarting
from deepseek_math.local import health
from deepseek_math.local.server import LocalServer, free_port
from deepseek_math.paths import ROOT


class Said(BaseHTTPRequestHandler):
    """Answers 200 whatever it says, as Cog's server does."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Said)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def say(status: str) -> None:
    Said.body = json.dumps({"status": status}).encode()


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Which processes were told what."""
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: told.append(what))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return told


@pytest.mark.parametrize(
    ("status", "ready", "alive"),
    [("READY", 0, 0), ("BUSY", 0, 0), ("STARTING", 1, 0), ("UNHEALTHY", 1, 1), ("SETUP_FAILED", 1, 1)],
)
def test_the_word_decides_though_the_answer_is_always_200(
    status: str, ready: int, alive: int, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say(status)
    assert health.main(["--url", url]) == ready
    assert health.main(["--alive", "--url", url]) == alive
    assert capsys.readouterr().out == f"{status}\n{status}\n"


def test_a_service_that_brings_its_engine_back_is_alive_and_not_ready(url: str, ended: list[tuple[int, int]]) -> None:
    say("UNHEALTHY")
    probe = ["--alive", "--end-after", "0", "--url", url]
    with restarting.announced(), restarting.announced():  # of two services of a machine
        assert health.main(["--url", url]) == 1
        assert health.main(probe) == 0
    assert health.main(["--alive", "--url", url]) == 1
    assert not ended


def test_a_service_that_is_killed_amid_it_brings_nothing_back(ended: list[tuple[int, int]]) -> None:
    program = "from deepseek_math import restarting\nwith restarting.announced(): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"TMPDIR": str(health.mark().parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        service.stdout.readline()
        assert restarting.under_way()
        service.send_signal(signal.SIGKILL)
    assert not restarting.under_way()


@pytest.mark.parametrize("body", [b"not JSON", b"{}", b"[]"])
def test_an_answer_that_is_none_is_no_health(body: bytes, url: str) -> None:
    Said.body = body
    assert health.main(["--alive", "--url", url]) == 1


def test_where_nobody_listens_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(["--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "no answer at http://127.0.0.1:" in capsys.readouterr().out


def test_a_proxy_for_downloads_is_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    say("READY")
    assert health.main(["--url", url]) == 0


def test_a_real_server_is_asked_at_its_port(demo: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", str(demo.port))
    assert health.main([]) == 0


def test_process_1_is_ended_once_the_service_was_unwell_for_long_without_a_break(
    url: str, ended: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "server_is_process_1", lambda: True)
    probe = ["--alive", "--end-after", "3600", "--url", url]
    for status in ("READY", "UNHEALTHY", "UNHEALTHY"):
        say(status)
        health.main(probe)
    mark = health.mark()
    assert not ended
    long_ago = mark.stat().st_mtime - 3601
    os.utime(mark, (long_ago, long_ago))
    say("READY")  # it brought its engine back by itself
    health.main(probe)
    say("UNHEALTHY")
    health.main(probe)
    assert not ended
    os.utime(mark, (long_ago, long_ago))
    health.main(probe)
    assert ended == [(1, signal.SIGTERM)]
    health.main(probe)  # the container that was started again has its own time
    assert len(ended) == 1


def test_where_process_1_is_the_machine_s_own_it_is_left_alone(url: str, ended: list[tuple[int, int]]) -> None:
    say("UNHEALTHY")
    health.main(["--end-after", "0", "--url", url])
    assert not ended
