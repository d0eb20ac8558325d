"""The start of the service as its log shows it. Whatever ends it is a sentence, which Cog passes on to /health-check.

Cog's server keeps one line of a setup that failed, and none of a module that can't be imported. So the service is
imported within the setup.
"""

import os
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from deepseek_math import logs
from deepseek_math.errors import ServiceError
from deepseek_math.stages import Stages

if TYPE_CHECKING:
    from deepseek_math.service import Service


async def start(weights: str | None, say: Callable[[str], None]) -> "Service":
    """The service that the environment asks for, ready; `weights` is Cog's. Raises ServiceError."""
    stages = Stages(say, before=_since_the_server_started())
    try:
        _require_temporary_folder()
        from deepseek_math.service import Service
        from deepseek_math.settings import Settings

        stages.done("imports", "the service is imported")
        settings = Settings.read(weights=weights)
        logs.begin(settings.log_prompts)
        service = await Service.open(settings, say, stages)
    except ServiceError:
        raise
    except ModuleNotFoundError as error:
        raise ServiceError(
            "package_missing", f"The service can't be imported: {error}. Build the image again: make image."
        ) from error
    except Exception as error:
        raise ServiceError(
            "internal_error",
            f"The start met an unexpected {type(error).__name__} ({error}). The container's log has its traceback.",
        ) from error
    stages.end()
    return service


def _since_the_server_started() -> float:
    """Seconds. This process is the worker of Cog's server, which in a container is process 1."""
    import psutil

    return max(0.0, time.time() - psutil.Process(os.getppid()).create_time())


def _require_temporary_folder() -> None:
    """Raises ServiceError: engines and programs need one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ServiceError(
            "folder_unwritable",
            f"{error.strerror}. Give the container one that can be written to: docker run --tmpfs /tmp, or in "
            "Kubernetes an emptyDir at /tmp.",
        ) from error
