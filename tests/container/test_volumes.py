"""Downloads to a volume: two containers at once, one that was broken off, and a house's own certificate."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.docker import docker
from tests.container.running import Running

SERVER = Path(__file__).with_name("file_server.py")


@dataclass(frozen=True)
class House:
    """A network of its own with a file server, and a volume for weights."""

    network: str
    volume: str
    image: str
    scheme: str

    def run(self, *options: str) -> Running:
        address = f"{self.scheme}://files:8000/rl.gguf"
        kept = ("--volume", f"{self.volume}:/weights", "--env", "WEIGHTS_FOLDER=/weights")
        return Running(self.image, "--network", self.network, *kept, "--env", f"CHECKPOINT={address}", *options)


def house(image: str, name: str, tls: Path | None = None) -> Iterator[House]:
    volume, network = docker("volume", "create"), name
    docker("network", "create", network)
    mounted = ["--volume", f"{SERVER}:/server.py:ro"]
    mounted += [] if tls is None else ["--volume", f"{tls}:/tls:ro"]
    named = ("--detach", "--network", network, "--network-alias", "files")
    server = docker("run", *named, *mounted, image, "python", "/server.py")
    try:
        while "listening" not in docker("logs", server, stderr=True):
            time.sleep(0.1)
        yield House(network, volume, image, "http" if tls is None else "https")
    finally:
        docker("rm", "--force", server)
        docker("network", "rm", network)
        docker("volume", "rm", "--force", volume)


@pytest.fixture
def plain(demo_image: str) -> Iterator[House]:
    yield from house(demo_image, "dsm-test-plain")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A key and a certificate for the name `files` that nobody but its owner knows."""
    subject = ("-subj", "/CN=files", "-addext", "subjectAltName=DNS:files")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"))
    subprocess.run([*make, *files], check=True, capture_output=True)
    (tmp_path / "key.pem").chmod(0o644)
    return tmp_path


@pytest.fixture
def private(demo_image: str, certificates: Path) -> Iterator[House]:
    yield from house(demo_image, "dsm-test-tls", certificates)


def test_of_two_containers_that_start_at_once_one_downloads_and_the_other_waits(plain: House) -> None:
    with plain.run() as first, plain.run() as second:
        for container in (first, second):
            container.wait("READY")
            assert container.answer(prompt="What is 12 + 30?", mode="chat")["metrics"]["answer"] == "42"
        logs = [first.logs(), second.logs()]
        assert sum("downloaded 7.5 MB" in log for log in logs) == 1
        assert sum("waiting for it" in log for log in logs) == 1


def test_a_volume_that_has_the_weights_needs_no_network(plain: House) -> None:
    with plain.run() as first:
        first.wait("READY")
    with plain.run("--read-only", "--tmpfs", "/tmp", "--env", "http_proxy=http://127.0.0.1:9") as again:
        again.wait("READY")
        assert "no download" in again.logs()


def test_a_download_that_was_broken_off_goes_on_at_the_next_start(plain: House) -> None:
    with plain.run() as first:
        while "downloading" not in first.logs():
            time.sleep(0.1)
        time.sleep(1.5)
        docker("kill", first.id)
    with plain.run() as second:
        second.wait("READY")
        assert "of which" in second.logs()


def test_a_house_s_own_certificate_is_taken_from_a_file(private: House, certificates: Path) -> None:
    mounted = ("--volume", f"{certificates}/cert.pem:/etc/house.pem:ro")
    with private.run(*mounted) as stranger:
        stranger.wait("SETUP_FAILED")
        assert "download_failed" in stranger.fault()
        assert "its certificate is not trusted here" in stranger.fault()
    with private.run(*mounted, "--env", "SSL_CERT_FILE=/etc/house.pem") as guest:
        guest.wait("READY")
