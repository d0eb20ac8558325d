"""The HTTP API under requests made from its own schema, valid and invalid ones: it always answers, and soon."""

import time
from collections import Counter
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from deepseek_math.errors import CODES
from deepseek_math.local.client import stream
from deepseek_math.local.server import LocalServer

SECONDS = 30.0
CONTEXT = 8192  # of the random model: a longer completion is refused at once, and stays as long as it is
VALID, INVALID = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
REQUESTS = [
    ("POST", "/predictions", VALID),
    ("POST", "/predictions", INVALID),
    ("POST", "/predictions/{prediction_id}/cancel", VALID),  # any text is a valid id
    ("GET", "/health-check", VALID),
    ("GET", "/", VALID),
]


def shortened(body: Any) -> Any:
    """A few tokens show as much as thousands, so a valid limit is lowered; what is invalid stays so."""
    given_input = body.get("input") if isinstance(body, dict) else None
    if isinstance(given_input, dict):
        limit = given_input.get("max_new_tokens", 1024)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit % 1 == 0 and 3 < limit <= CONTEXT:
            given_input["max_new_tokens"] = 3 if limit % 7 else 10
    if isinstance(body, dict) and isinstance(body.get("id"), str):  # Cog fails itself on a NUL: it is a folder's name
        body["id"] = body["id"].replace("\0", "")
    if isinstance(body, dict) and body.get("id", "") is None:  # Cog takes null for no id, its schema does not
        body["id"] = 0
    return body


def allowed(document: dict[str, Any], body: Any) -> bool:
    """Whether the document allows a request that was made to be invalid, as another reader of JSON Schema has it."""
    schema = {"$ref": "#/components/schemas/PredictionRequest", "components": document["components"]}
    return bool(jsonschema_rs.validator_for(schema).is_valid(body))


@pytest.mark.parametrize(("method", "path", "mode"), REQUESTS)
def test_every_request_gets_an_answer(server: LocalServer, method: str, path: str, mode: GenerationMode) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    operation = schemathesis.openapi.from_dict(document)[path][method]
    answers: Counter[str] = Counter()

    @seed(20)
    @settings(
        max_examples=100 if path == "/predictions" else 15,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def fuzz(case: Any) -> None:
        case.body = shortened(case.body)
        started = time.monotonic()
        response = case.call(base_url=server.url, timeout=SECONDS)
        assert time.monotonic() - started < SECONDS
        assert response.status_code < 500, (case.body, response.text)
        answers[str(response.status_code)] += 1
        if response.status_code == httpx.codes.OK and path == "/predictions":
            assert mode == VALID or allowed(document, case.body), case.body
            answer = response.json()
            answers[answer["status"]] += 1
            if answer["status"] == "failed":
                assert any(f"{code}: " in answer["error"] for code in CODES), answer
                assert "internal_error" not in answer["error"], answer

    fuzz()
    print(method, path, mode.name, dict(answers))
    if path == "/predictions":
        assert {"succeeded", "failed"} <= set(answers) if mode == VALID else "422" in answers
    assert answers
    assert server.health()["status"] in ("READY", "BUSY")
    final = list(stream(server.url, {"prompt": "Hi", "max_new_tokens": 2}))[-1]
    assert final.data["status"] == "succeeded"
