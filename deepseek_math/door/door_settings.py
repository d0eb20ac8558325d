"""What the environment may set of the door, read and checked once at the start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepseek_math.errors import ServiceError

VARIABLES: dict[str, str] = {
    "API_KEY": "The key that clients must send. None is asked for when unset.",
    "CORS_ORIGINS": "The web pages whose scripts may ask, with commas between: `http://localhost:5173`; `*` is all. "
    "None when unset.",
}


@dataclass(frozen=True, slots=True)
class DoorSettings:
    api_key: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()  # of the pages whose scripts may ask

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "DoorSettings":
        """Raises ServiceError("setting_invalid")."""
        key = environment.get("API_KEY", "").strip() or None
        if key and not (key.isascii() and key.isprintable()):
            raise ServiceError("setting_invalid", "API_KEY holds a character that no HTTP header can carry.")
        origins = [origin.strip() for origin in environment.get("CORS_ORIGINS", "").split(",")]
        found = tuple(origin for origin in origins if origin)
        for origin in found:
            if origin not in ("*", "null") and ("://" not in origin or origin.count("/") != 2):
                raise ServiceError(
                    "setting_invalid",
                    f"CORS_ORIGINS holds {origin!r:.200}. Use origins such as http://localhost:5173, without a path.",
                )
        return cls(key, found)
