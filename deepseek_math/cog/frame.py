"""The part of Cog's OpenAPI document that is the same for every Predictor."""

from typing import Any

Json = dict[str, Any]


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(title: str, **properties: Json) -> Json:
    return {"title": title, "type": "object", "properties": properties}


def _string(title: str, **more: str) -> Json:
    return {"title": title, "type": "string", **more}


def _operation(summary: str, name: str, answer: Json, checked: bool = True, **more: Any) -> Json:
    """A path's operation, which answers 200 and, where its request is checked, 422."""
    answers = {"200": ("Successful Response", answer), "422": ("Validation Error", ref("HTTPValidationError"))}
    responses = {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
        for status, (description, schema) in answers.items()
        if checked or status == "200"
    }
    return {"summary": summary, "operationId": name, "responses": responses, **more}


# The components that are the same for every Predictor; Input and Output stand in for its own.
COMPONENTS: dict[str, Json] = {
    "Input": {},
    "Output": {},
    "PredictionRequest": _object("PredictionRequest", id=_string("Id"), input=ref("Input")),
    "PredictionResponse": _object(
        "PredictionResponse",
        input=ref("Input"),
        output=ref("Output"),
        **{name: _string(name.title()) for name in ("id", "version", "status", "error", "logs")},
        **{
            name: _string(name.replace("_", " ").title(), format="date-time")
            for name in ("created_at", "started_at", "completed_at")
        },
        metrics={"title": "Metrics", "type": "object"},
    ),
    "Status": _string("Status", description="An enumeration.")
    | {"enum": ["starting", "processing", "succeeded", "canceled", "failed"]},
    "HTTPValidationError": _object(
        "HTTPValidationError", detail={"title": "Detail", "type": "array", "items": ref("ValidationError")}
    ),
    "ValidationError": _object(
        "ValidationError",
        loc={"title": "Location", "type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        msg=_string("Message"),
        type=_string("Error Type"),
    )
    | {"required": ["loc", "msg", "type"]},
}


def document(components: Json, streaming: bool) -> Json:
    predict = _operation(
        "Predict",
        "predict_predictions_post",
        ref("PredictionResponse"),
        description="Run a single prediction on the model",
        requestBody={"content": {"application/json": {"schema": ref("PredictionRequest")}}},
        **({"x-cog-streaming": True} if streaming else {}),
    )
    name = {"in": "path", "name": "prediction_id", "required": True, "schema": _string("Prediction Id")}
    cancel = _operation("Cancel", "cancel_predictions__prediction_id__cancel_post", {}, parameters=[name])
    paths = {
        "/": {"get": _operation("Root", "root__get", {}, checked=False)},
        "/health-check": {"get": _operation("Healthcheck", "healthcheck_health_check_get", {}, checked=False)},
        "/predictions": {"post": predict},
        "/predictions/{prediction_id}/cancel": {"post": cancel},
    }
    info = {"title": "Cog", "version": "dev"}
    return {"openapi": "3.0.2", "info": info, "paths": paths, "components": {"schemas": components}}
