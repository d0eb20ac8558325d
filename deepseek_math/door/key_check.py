"""The key that clients must send, where one is set."""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deepseek_math.door.counters import Counters
from deepseek_math.door.refusals import Refused

OPEN = ("/health", "/metrics")  # without a key: probes and Prometheus have none, and no word of a client is there


class KeyCheck:
    """Lets in who sends the key. It stands before the routes, so that an address tells nothing without it."""

    def __init__(self, app: ASGIApp, key: str, counters: Counters) -> None:
        self._app = app
        self._key = key.encode()
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._knows(scope):
            await self._app(scope, receive, send)
            return
        message = "This service asks for a key, and the request has none or another. Send it as a bearer token."
        self._counters.refused("invalid_api_key")
        refused = Refused(401, "invalid_api_key", message)
        await JSONResponse(refused.body, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        scheme, _, sent = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(sent.strip(), self._key) and scheme.lower() == b"bearer"
