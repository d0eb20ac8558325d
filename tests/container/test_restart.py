"""A container whose service has died starts again, and one that mends itself is left alone."""

import re
import time

from deepseek_math.paths import ROOT
from tests.container.running import Running

PAGE = (ROOT / "docs" / "containers.md").read_text()
KILL_WORKER = "import psutil; [each.kill() for each in psutil.Process(1).children()]"
SIGNAL_WORKER = "import psutil; [each.send_signal({}) for each in psutil.Process(1).children()]"
STOP, CONTINUE = 19, 18


def watched(patience: int) -> tuple[str, ...]:
    """The options of the page's `docker run` that start a container again, with less patience."""
    command = re.search(r"--restart unless-stopped .*?--health-cmd '(.*?)'", PAGE, re.DOTALL)
    assert command
    probe = re.sub(r"--end-after \d+", f"--end-after {patience}", command[1])
    return ("--restart", "unless-stopped", "--health-interval", "1s", "--health-timeout", "20s", "--health-cmd", probe)


def test_a_worker_that_dies_makes_the_service_unhealthy_for_good(demo_image: str) -> None:
    with Running(demo_image) as container:
        container.wait("READY")
        container.python(KILL_WORKER)
        container.wait("UNHEALTHY")
        time.sleep(5)
        assert container.health()["status"] == "UNHEALTHY"
        assert container.state(".State.Status") == "running"  # Docker starts nothing again by itself


def test_the_page_s_command_starts_the_container_again(demo_image: str) -> None:
    with Running(demo_image, *watched(3)) as container:
        container.wait("READY")
        container.python(KILL_WORKER)
        while container.state(".RestartCount") == "0":
            time.sleep(0.2)
        container.wait("READY")
        assert container.answer(prompt="What is 12 + 30?", mode="chat")["metrics"]["answer"] == "42"
        time.sleep(8)
        assert container.state(".RestartCount") == "1"


def test_a_service_that_mends_itself_in_time_is_not_started_again(demo_image: str) -> None:
    """The worker stands still for longer than the server waits for its health, and goes on."""
    with Running(demo_image, *watched(60)) as container:
        container.wait("READY")
        container.python(SIGNAL_WORKER.format(STOP))
        container.wait("UNHEALTHY")
        container.python(SIGNAL_WORKER.format(CONTINUE))
        container.wait("READY")
        time.sleep(3)
        assert container.state(".RestartCount") == "0"
        assert container.state(".State.Health.Status") == "healthy"
