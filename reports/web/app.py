"""The server's addresses: what each takes and gives. The work is done by `desk.Desk`."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from flask import Flask, Response, g, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from reports import charts, html
from reports.web import gauges, openapi, paper, samples, uploads
from reports.web.asking import Asking
from reports.web.desk import Desk
from reports.web.refusal import Refusal
from xai.errors import WhyfakeError
from xai.version import VERSION

LOG = logging.getLogger("whyfake.web")
API = "/api/v1"
SELF = "'self'"
POLICY = "; ".join(
    [
        "default-src 'none'", f"script-src {SELF}", f"style-src {SELF}", f"img-src {SELF} data: blob:", f"connect-src {SELF}",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]
)  # fmt: skip
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
OPEN = ("page", "static", "style", "health", "sample", "docs", "document")  # answered without a token: they hold nothing of anyone's


def create_app(desk: Desk, token: str = "", hosts: Sequence[str] = ()) -> Flask:
    """Return the web application.

    Args:
        desk: does the work.
        token: asked for as "Authorization: Bearer …"; "" for none.
        hosts: names under which the server may be asked for; empty for any.
    """
    app = Flask("whyfake", root_path=str(paper.HERE), static_folder="static", template_folder="templates", static_url_path="/static")
    app.request_class = uploads.Memory
    app.config |= {"MAX_CONTENT_LENGTH": desk.limits.request_bytes, "MAX_FORM_PARTS": desk.limits.images + 20}
    app.json.sort_keys = False  # type: ignore[attr-defined]
    meter = app.extensions["gauges"] = gauges.Gauges(desk)
    account(app, meter)
    guard(app, token, meter, hosts)

    @app.get("/")
    def page() -> str:
        return render_template("page.html", version=VERSION, samples=samples.names(), limits=desk.limits, palettes=palettes())

    @app.get("/static/report.css")
    def style() -> Response:
        return Response(html.static("report.css"), mimetype="text/css")

    @app.get("/samples/<name>.jpg")
    def sample(name: str) -> Response:
        return Response(samples.picture(name), mimetype="image/jpeg")

    @app.get("/healthz")
    def health() -> tuple[Response, int]:
        fine = not meter.stopping
        return jsonify(status="ok" if fine else "stopping", version=VERSION), 200 if fine else 503

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(meter.text(), content_type=gauges.KIND)

    @app.get(f"{API}/openapi.json")
    def document() -> Response:
        return jsonify(openapi.document(desk.limits))

    @app.get("/docs")
    @app.get("/docs/<path:name>")
    def docs(name: str = "") -> Response:
        return openapi.page(name, f"{API}/openapi.json")

    @app.get(f"{API}/models")
    def models() -> Response:
        low, high = desk.limits.unsure
        donors = {name: bool(desk.pools.get(name)) for name in desk.models}
        listed = [served.record() | {"swaps": donors[served.name]} for served in desk.models.values()]
        return jsonify(models=listed, unsure=[low, high], parts=desk.source.kind if desk.source else "")

    @app.post(f"{API}/predict")
    def predict() -> tuple[Response, int]:
        return each(lambda image, served: desk.predict(image, served, owner()).record(desk.limits))

    @app.post(f"{API}/explain")
    def explain() -> tuple[Response, int]:
        layers, methods = request.args.get("layers", ""), request.args.get("methods", "")
        return each(lambda image, served: desk.explain(image, served, owner(), layers, methods).explained(desk.limits))

    @app.post(f"{API}/effects")
    def effects() -> Response:
        received = uploads.received(request, desk.limits)
        if len(received) != 1:
            raise Refusal(413, "the parts of one image are measured at a time")
        served = desk.named(request.args.get("model", ""))
        if len(served) != 1:
            raise Refusal(400, f"several models are served; say which with ?model=, one of: {', '.join(desk.models)}")
        steps = desk.effects(received[0], served[0], owner())
        done, of, _ = next(steps)  # whatever is wrong with the image is said before the answer begins

        def lines() -> Iterator[str]:
            yield json.dumps({"done": done, "of": of}) + "\n"
            try:
                for count, all_of_them, part in steps:
                    yield json.dumps({"done": count, "of": all_of_them} | part) + "\n"
            except Exception as error:  # the answer has begun, its status cannot be changed
                reason = str(error) if isinstance(error, WhyfakeError) else "the measurement failed"
                yield json.dumps({"error": reason}) + "\n"

        return Response(gauges.within(lines(), meter), mimetype="application/x-ndjson")

    @app.post(f"{API}/report")
    def report() -> Response:
        served = desk.named(request.args.get("model", ""))
        sheet, until = paper.Paper(desk, served), desk.until()
        with desk.gate.inside(owner()):
            for upload in stayed(uploads.received(request, desk.limits)):
                sheet.add(upload, owner(), until)
        meter.images(sheet.right, sheet.refused)
        name = "whyfake-report.html"
        return Response(sheet.page(), mimetype="text/html", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    def each(answer: Callable[..., dict[str, Any]]) -> tuple[Response, int]:
        """Answer for every image and every model; the status is an error's where not one was answered."""
        asking = Asking(desk, desk.named(request.args.get("model", "")), answer, desk.until())
        with desk.gate.inside(owner()):
            for upload in stayed(uploads.received(request, desk.limits)):
                asking.take(upload)
        meter.images(asking.right, len(asking.refused))
        if not asking.right and asking.refused:
            first = asking.refused[0]
            g.again = first.again
            return jsonify(error=first.reason, images=asking.images), first.status
        return jsonify(images=asking.images), 200

    return app


@cache
def palettes() -> dict[str, str]:
    """Return the stops of the colour maps, for maps of one sign and of two."""
    stops = {str(table["name"]): " ".join(table["stops"]) for table in charts.palettes()}  # type: ignore[arg-type]
    return {"sequential": stops["viridis"], "diverging": stops["purple-orange"]}


def stayed(received: Sequence[uploads.Upload]) -> Iterator[uploads.Upload]:
    """Yield uploads one by one while whoever sent them waits for the answer; waitress knows."""
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    for upload in received:
        if gone():
            raise Refusal(503, "whoever asked has left", 1)
        yield upload


def owner() -> str:
    """Return whose request it is: the address it came from."""
    return request.remote_addr or "unknown"


def asked_for(host: str) -> str:
    """Return the name in a Host header, without its port.

    Example:
        >>> asked_for("Localhost:8000"), asked_for("[::1]:8000"), asked_for("127.0.0.1")
        ('localhost', '::1', '127.0.0.1')
    """
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


def guard(app: Flask, token: str, meter: gauges.Gauges, hosts: Sequence[str]) -> None:
    """Ask for the token, refuse other sites' pages, turn errors into JSON, and send the headers that browsers heed."""

    @app.before_request
    def admit() -> None:
        if hosts and asked_for(request.headers.get("Host", "")) not in hosts:  # another name that leads here is a trick on browsers
            raise Refusal(400, f"this server answers to {', '.join(hosts)} alone")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and request.path.startswith(API):
            raise Refusal(403, "pages of other sites may not ask")
        if meter.stopping and request.endpoint != "health":
            raise Refusal(503, "the server is stopping; try again in a moment", 5)
        if token and request.endpoint not in OPEN:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
                raise Refusal(401, "a token is needed: send it as 'Authorization: Bearer TOKEN'")

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        if isinstance(error, Refusal):
            g.again = error.again
            return jsonify(error=error.reason), error.status
        if isinstance(error, HTTPException):
            known = {404: "there is nothing here", 405: "this address does not take that method", 413: "the request is too large"}
            reply = jsonify(error=known.get(error.code or 500, error.name))
            if isinstance(error, MethodNotAllowed):
                reply.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
            return reply, error.code or 500
        if isinstance(error, WhyfakeError):
            return jsonify(error=str(error)), 400
        LOG.error("unexpected %s at %s", type(error).__name__, request.endpoint)
        return jsonify(error="something went wrong here; the server's log names it"), 500

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        if again := g.get("again"):
            response.headers["Retry-After"] = str(again)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def account(app: Flask, meter: gauges.Gauges) -> None:
    """Count requests and write a line for each: what was asked and how it went, never an image, a name or an address."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        meter.begin()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.get("began", time.perf_counter())
        meter.end(request.endpoint or "none", response.status_code, seconds)
        LOG.info("%s %s %d %.0f ms", request.method, request.endpoint or "none", response.status_code, 1000 * seconds)
        return response

    @app.teardown_request
    def over(error: BaseException | None) -> None:
        if "began" in g:
            meter.over()
