"""The OpenAPI document of a Predictor, as `cog build` writes it, made from its table of inputs.

coglet checks every request against `.cog/openapi_schema.json`. `cog build` reads predict.py's source for it; here the
document is written without Cog's command line, for the tests and for serving without Docker. It is held against
documents that Cog's own generator wrote (tests/data/cog).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepseek_math.cog.signature import require_faithful
from deepseek_math.files import write_whole
from deepseek_math.inputs import INPUTS, InputField

Json = dict[str, Any]

REFERENCE = "replicate/predict.py:Predictor"  # what cog.yaml names

_SCALARS: dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "dict": {"type": "object"},
    "Secret": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True},
}
_OUTPUT: Json = {
    "title": "Output",
    "type": "array",
    "items": {"type": "string"},
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}


def document(inputs: Sequence[InputField] = INPUTS, *, streaming: bool = True) -> Json:
    """The document of a Predictor with these inputs that returns ConcatenateIterator[str]."""
    fields: Json = {}
    components: Json = {}
    for order, field in enumerate(inputs):
        require_faithful(field)
        fields[field.name] = {"x-order": order, **_property(field)}
        if field.choices:
            components[field.name] = _enumeration(field)
    schema: Json = {"title": "Input", "type": "object", "properties": fields}
    required = [field.name for field in inputs if field.required]
    if required:
        schema["required"] = required
    components |= {**_COMPONENTS, "Input": schema, "Output": _OUTPUT}
    info = {"title": "Cog", "version": "dev"}
    return {"openapi": "3.0.2", "info": info, "paths": _paths(streaming), "components": {"schemas": components}}


def dumps(whole: Json) -> str:
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(whole: Json, to: Path) -> None:
    """Writes the document where coglet looks for it, whole or not at all."""
    to.parent.mkdir(parents=True, exist_ok=True)
    write_whole(to, dumps(whole))


def _property(field: InputField) -> Json:
    written: Json = {"description": field.description}
    if not field.required:
        written["default"] = _number(field.default)
    bounds = {"minimum": field.minimum, "maximum": field.maximum, "minLength": field.min_length}
    written |= {name: _number(bound) for name, bound in bounds.items() if bound is not None}
    if field.deprecated:
        written["deprecated"] = True
    if field.optional:
        written["nullable"] = True
    if field.choices:  # an enumeration is a component of its own, under the input's name
        return written | {"allOf": [_reference(field.name)]}
    title = " ".join(word[:1].upper() + word[1:] for word in field.name.split("_"))
    return written | _shape(field) | {"title": title}


def _shape(field: InputField) -> Json:
    """The JSON type. Of a union Cog marks every member as one that may be null."""
    members = [_type(name) for name in field.kind.split(" | ")]
    if len(members) == 1:
        return members[0]
    if field.optional:
        members = [member | {"nullable": True} for member in members]
    return {"anyOf": members}


def _type(name: str) -> Json:
    if name.startswith("list["):
        return {"type": "array", "items": _SCALARS[name.removeprefix("list[").removesuffix("]")]}
    return _SCALARS[name]


def _enumeration(field: InputField) -> Json:
    members = {"title": field.name, "description": "An enumeration.", "enum": list(field.choices)}
    return members | _SCALARS[field.kind]


def _number(value: Any) -> Any:
    """Cog's generator is written in Go, which writes 2.0 as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(title: str, **properties: Json) -> Json:
    return {"title": title, "type": "object", "properties": properties}


def _string(title: str, **more: Any) -> Json:
    return {"title": title, "type": "string", **more}


def _date(title: str) -> Json:
    return _string(title, format="date-time")


# The same for every Predictor.
_COMPONENTS: dict[str, Json] = {
    "PredictionRequest": _object("PredictionRequest", id=_string("Id"), input=_reference("Input")),
    "PredictionResponse": _object(
        "PredictionResponse",
        id=_string("Id"),
        version=_string("Version"),
        status=_string("Status"),
        input=_reference("Input"),
        output=_reference("Output"),
        error=_string("Error"),
        logs=_string("Logs"),
        metrics={"title": "Metrics", "type": "object"},
        created_at=_date("Created At"),
        started_at=_date("Started At"),
        completed_at=_date("Completed At"),
    ),
    "Status": _string(
        "Status",
        description="An enumeration.",
        enum=["starting", "processing", "succeeded", "canceled", "failed"],
    ),
    "HTTPValidationError": _object(
        "HTTPValidationError",
        detail={"title": "Detail", "type": "array", "items": _reference("ValidationError")},
    ),
    "ValidationError": {
        **_object(
            "ValidationError",
            loc={"title": "Location", "type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            msg=_string("Message"),
            type=_string("Error Type"),
        ),
        "required": ["loc", "msg", "type"],
    },
}


def _paths(streaming: bool) -> Json:
    predict: Json = {
        "summary": "Predict",
        "operationId": "predict_predictions_post",
        "description": "Run a single prediction on the model",
        "requestBody": {"content": {"application/json": {"schema": _reference("PredictionRequest")}}},
        "responses": _responses(_reference("PredictionResponse"), checked=True),
    }
    if streaming:
        predict["x-cog-streaming"] = True
    cancel = {
        "summary": "Cancel",
        "operationId": "cancel_predictions__prediction_id__cancel_post",
        "parameters": [{"in": "path", "name": "prediction_id", "required": True, "schema": _string("Prediction Id")}],
        "responses": _responses({}, checked=True),
    }
    root = {"summary": "Root", "operationId": "root__get", "responses": _responses({}, checked=False)}
    health = {
        "summary": "Healthcheck",
        "operationId": "healthcheck_health_check_get",
        "responses": _responses({}, checked=False),
    }
    return {
        "/": {"get": root},
        "/health-check": {"get": health},
        "/predictions": {"post": predict},
        "/predictions/{prediction_id}/cancel": {"post": cancel},
    }


def _responses(answer: Json, checked: bool) -> Json:
    """200 and, where the request is checked, 422."""
    responses = {"200": {"description": "Successful Response", "content": {"application/json": {"schema": answer}}}}
    if checked:
        fault = _reference("HTTPValidationError")
        content = {"application/json": {"schema": fault}}
        responses["422"] = {"description": "Validation Error", "content": content}
    return responses
