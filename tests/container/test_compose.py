"""The page's compose file: compose accepts it, and what it starts is well by its own probe."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from deepseek_math.paths import ROOT
from tests.container.docker import docker

PAGE = (ROOT / "docs" / "containers.md").read_text()
PROJECT = "dsm-test-compose"


def compose_command() -> list[str]:
    """Compose is a plug-in of Docker's, or a program of its own, as in Debian's package docker-compose."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True, check=False).returncode
        ):
            return command
    pytest.skip("there is no compose here: apt-get install docker-compose")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = re.search(r"```yaml\n(services:\n.*?)```", PAGE, re.DOTALL)
    assert found
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")  # of the clone, beside which the file lies
    path = tmp_path / "docker-compose.yml"
    path.write_text(found[1])
    return path


def run(file: Path, *arguments: str) -> str:
    command = [*compose_command(), "--project-name", PROJECT, "--file", str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compose_accepts_the_page_s_file_with_and_without_a_gpu(file: Path) -> None:
    config = yaml.safe_load(run(file, "config"))
    assert config["services"]["math"]["stop_grace_period"].startswith("5m")
    assert config["services"]["door"]["build"]["dockerfile"] == "door.Dockerfile"
    gpu = re.search(r"```yaml\n(    shm_size: .*?)```", PAGE, re.DOTALL)
    assert gpu
    file.write_text(file.read_text().replace("  door:", f"{gpu[1]}  door:"))
    assert "driver: nvidia" in run(file, "config")


def test_what_compose_starts_is_healthy_by_the_page_s_own_probe(file: Path, demo_image: str) -> None:
    config = yaml.safe_load(file.read_text())
    service = config["services"]["math"] | {"image": demo_image, "ports": ["127.0.0.1::5000"]}
    service["healthcheck"]["interval"] = "2s"
    file.write_text(yaml.safe_dump(config | {"services": {"math": service}}))
    run(file, "up", "--detach")
    try:
        container = run(file, "ps", "--quiet").strip()
        deadline = time.monotonic() + 120
        while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
            assert time.monotonic() < deadline, docker("logs", container, stderr=True)[-2000:]
            time.sleep(0.5)
    finally:
        run(file, "down", "--volumes")
