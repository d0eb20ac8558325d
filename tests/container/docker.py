"""Docker's command line, as the tests call it."""

import subprocess


class DockerFailed(Exception):
    """The end of what docker printed."""


def docker(*arguments: str, text: str | None = None, stderr: bool = False) -> str:
    """What `docker ARGUMENTS` prints on its output, with `stderr` also on the other. Raises DockerFailed."""
    done = subprocess.run(["docker", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DockerFailed(f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout.strip() + (done.stderr if stderr else "")
