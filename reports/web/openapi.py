"""The interface for programs, as an OpenAPI document and as a page to try it, which loads nothing from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Response, render_template

from reports.web.limits import Limits
from reports.web.refusal import Refusal
from xai.version import VERSION

API = "/api/v1"
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
START = """window.addEventListener("load", () => SwaggerUIBundle({ url: %s, dom_id: "#swagger", presets: [SwaggerUIBundle.presets.apis] }));"""
REASONS = {
    400: "Something in the request is wrong; the reason says what.",
    401: "A token is needed.",
    403: "The request came from another site's page.",
    404: "No model of that name.",
    413: "Too large or too many; the reason says which.",
    415: "Neither a form with images nor an image.",
    422: "None of the images could be answered; the reason is the first one's, each carries its own.",
    429: "Too many images from this address are waiting; Retry-After says when to come again.",
    503: "Too many images are waiting, or the server is stopping; Retry-After says when to come again.",
}

NUMBER, TEXT, YES, WHOLE = ({"type": kind} for kind in ("number", "string", "boolean", "integer"))


def page(name: str, address: str) -> Response:
    """Return the page to try the interface, or one of its files.

    Raises:
        Refusal: there is no such file.
    """
    if not name:
        return Response(render_template("docs.html"))
    if name == "start.js":
        return Response(START % json.dumps(address), mimetype="text/javascript")
    if name not in ASSETS:
        raise Refusal(404, "there is nothing here")
    from swagger_ui_bundle import swagger_ui_path

    return Response((Path(str(swagger_ui_path)) / name).read_bytes(), mimetype=ASSETS[name])


def document(limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI document."""
    busy = (429, 503)
    model = query("model", "Names of models, commas between; all by default.")
    wanted = [query("layers", "auto, conv, last, all, or names with commas between."), query("methods", "Map methods, commas between.")]
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "whyfake",
            "version": VERSION,
            "description": "What detectors of generated faces say, and why. Nothing that is sent is kept.",
            "license": {"name": "Apache-2.0"},
        },
        "security": [{}, {"token": []}],
        "paths": {
            f"{API}/models": {"get": operation("The models that are served.", reply("Models"), (401, 403))},
            f"{API}/predict": {"post": operation("Real or fake?", reply("Predictions"), (400, 401, 403, 404, 413, 415, 422, *busy), [model], limits)},
            f"{API}/explain": {
                "post": operation(
                    "Real or fake, and why?", reply("Explanations"), (400, 401, 403, 404, 413, 415, 422, *busy), [model, *wanted], limits
                )
            },
            f"{API}/effects": {
                "post": operation(
                    "What does changing each part of the face do? A line of JSON for each part, as soon as it is measured.",
                    {"application/x-ndjson": {"schema": TEXT}},
                    (400, 401, 403, 404, 413, 415, 422, *busy),
                    [query("model", "Name of one model; needed where several are served.")],
                    limits,
                )
            },
            f"{API}/report": {
                "post": operation(
                    "A report of the images to keep.", {"text/html": {"schema": TEXT}}, (400, 401, 403, 404, 413, 415, 422, *busy), [model], limits
                )
            },
            "/healthz": {"get": operation("Is the server well?", reply("Health"), (503,))},
            "/metrics": {"get": operation("Numbers for Prometheus.", {"text/plain": {"schema": TEXT}}, (401,))},
        },
        "components": {"schemas": schemas(), "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def query(name: str, text: str) -> dict[str, Any]:
    """Return a parameter of the address."""
    return {"name": name, "in": "query", "description": text, "schema": TEXT}


def reply(name: str) -> dict[str, Any]:
    """Return an answer in JSON."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def operation(
    text: str, answer: dict[str, Any], errors: tuple[int, ...], parameters: list[dict[str, Any]] | None = None, limits: Limits | None = None
) -> dict[str, Any]:
    """Return what an address does; with limits it takes images."""
    found: dict[str, Any] = {"summary": text, "responses": {"200": {"description": "Answered.", "content": answer}}}
    for status in errors:
        content = reply("Health" if status == 503 and limits is None else "Error")
        headers = {"Retry-After": {"description": "Seconds.", "schema": WHOLE}} if status in (429, 503) and limits else {}
        found["responses"][str(status)] = {"description": REASONS[status], "content": content} | ({"headers": headers} if headers else {})
    if parameters:
        found["parameters"] = parameters
    if limits is not None:
        file = {"type": "string", "format": "binary"}
        found["requestBody"] = {
            "required": True,
            "description": f"Up to {limits.images} images of {limits.file_bytes / 1e6:,.0f} MB and {limits.pixels / 1e6:,.0f} megapixels each, "
            "or a zip archive of them.",
            "content": {
                "multipart/form-data": {
                    "schema": {"type": "object", "required": ["image"], "properties": {"image": {"type": "array", "minItems": 1, "items": file}}}
                },
                "image/png": {"schema": file},
                "image/jpeg": {"schema": file},
                "image/webp": {"schema": file},
                "application/zip": {"schema": file},
            },
        }
    return found


def record(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object; a name that ends in "_" may be missing."""
    return {
        "type": "object",
        "required": [name for name in properties if not name.endswith("_")],
        "properties": {name.rstrip("_"): schema for name, schema in properties.items()},
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def schemas() -> dict[str, Any]:
    """Return what the answers hold."""
    says = {"type": "string", "enum": ["fake", "real", "not sure"]}
    answer = {
        "model": TEXT, "error_": TEXT, "answer_": says, "calibrated_": YES, "logit_": NUMBER, "threshold_": NUMBER, "note_": TEXT,
        "probability_": NUMBER | {"minimum": 0, "maximum": 1, "description": "Of fake; the model's own score where it is not calibrated."},
    }  # fmt: skip
    box = many(NUMBER) | {"description": "Top, left, height and width."}
    view = record(width=WHOLE, height=WHOLE, box=box, jpeg=TEXT | {"format": "byte"})
    map_of = record(
        layer=TEXT, method=TEXT, title=TEXT, signed=YES, empty=YES, highest=NUMBER, height=WHOLE, width=WHOLE, selftest=TEXT,
        scale=NUMBER | {"description": "What level 255 stands for."},
        levels=TEXT | {"format": "byte", "description": "Row by row, a byte a cell: 0 to 255, of a signed method 128 is zero."},
        box=box | {"description": "Where the cells lie, as shares of the view; they may reach beyond it."},
    )  # fmt: skip
    part = record(part=TEXT, area=NUMBER, shares=many(NUMBER | {"nullable": True}))
    explained = answer | {"view_": view, "maps_": many(map_of), "parts_": many(part) | {"nullable": True}, "faceless_": TEXT}

    def images(answers: dict[str, Any]) -> dict[str, Any]:
        entry = record(name=TEXT, error_=TEXT, width_=WHOLE, height_=WHOLE, answers_=many(record(**answers)))
        return record(images=many(entry))

    method = record(name=TEXT, title=TEXT, signed=YES)
    model = record(
        name=TEXT, sha256=TEXT, height=WHOLE, width=WHOLE, threshold=NUMBER, calibrated=YES, swaps=YES,
        layers=many(TEXT), methods=many(method), all_layers=many(TEXT), all_methods=many(TEXT),
    )  # fmt: skip
    return {
        "Error": record(error=TEXT),
        "Health": record(status=TEXT, version=TEXT),
        "Models": record(models=many(model), unsure=many(NUMBER), parts=TEXT),
        "Predictions": images(answer),
        "Explanations": images(explained),
    }
