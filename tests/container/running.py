"""A container at work, as the tests see it."""

import json
import time
from types import TracebackType
from typing import Any

import httpx

from deepseek_math.local.client import http, stream
from tests.container.docker import DockerFailed, docker

READY_SECONDS = 300.0  # on a machine that is busy with other things
PEAK = "/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"  # of cgroup version 2 and 1


class Running:
    """`with Running(image, "--read-only") as container: container.answer(prompt="1+1?")`; gone afterwards."""

    def __init__(self, image: str, *options: str, network: bool = True) -> None:
        published = ("--publish", "127.0.0.1::5000") if network else ("--network", "none")
        self._began = time.perf_counter()
        self.id = docker("run", "--detach", *published, *options, image)
        self._network = network

    @property
    def url(self) -> str:
        """NOTE: another one after a restart."""
        return f"http://{docker('port', self.id, '5000').splitlines()[0]}"

    def python(self, program: str, *options: str) -> str:
        """What a Python program prints inside."""
        return docker("exec", *options, self.id, "python", "-c", program)

    def health(self) -> dict[str, Any]:
        """What /health-check says; nothing while the server does not answer yet."""
        try:
            if self._network:
                with http(timeout=10.0) as session:
                    answer: dict[str, Any] = session.get(f"{self.url}/health-check").json()
            else:
                address = "http://127.0.0.1:5000/health-check"
                program = f"import urllib.request as web; print(web.urlopen({address!r}).read().decode())"
                answer = json.loads(self.python(program))
        except (httpx.HTTPError, ValueError, DockerFailed, IndexError):
            return {}
        return answer

    def wait(self, *statuses: str) -> float:
        """Until the status is one of these. Returns the seconds since `docker run`."""
        while True:
            status = self.health().get("status")
            took = time.perf_counter() - self._began
            if status in statuses:
                return took
            assert status != "SETUP_FAILED", self.fault()
            assert took < READY_SECONDS, f"{status} after {took:.0f} s: {self.logs()[-3000:]}"
            time.sleep(0.2)

    def fault(self) -> str:
        """Why the setup failed, as /health-check has it."""
        return str(self.health()["setup"]["logs"])

    def answer(self, **inputs: Any) -> dict[str, Any]:
        """The end of a prediction: status, output, metrics, error."""
        return dict(list(stream(self.url, inputs))[-1].data)

    def logs(self) -> str:
        return docker("logs", self.id, stderr=True)

    def state(self, what: str) -> str:
        return docker("inspect", "--format", f"{{{{{what}}}}}", self.id)

    def peak_mib(self) -> int:
        """The most memory that it has had, in MiB."""
        for path in PEAK:
            try:
                return int(docker("exec", self.id, "cat", path)) >> 20
            except DockerFailed:
                pass
        return 0

    def stop(self, seconds: int) -> float:
        """`docker stop`. Returns how long it took."""
        began = time.perf_counter()
        docker("stop", "--time", str(seconds), self.id)
        return time.perf_counter() - began

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        docker("rm", "--force", "--volumes", self.id)
