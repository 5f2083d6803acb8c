"""The server's addresses, asked as programs and the page ask them."""

import base64
import io
import json
import re
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest

from reports.web.app import create_app
from reports.web.serve import serve
from xai.detector import score
from xai.errors import RunError, WhyfakeError

ASKING = ("/api/v1/predict", "/api/v1/explain", "/api/v1/report")


def archive(*files, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name, content in files:
            zipped.writestr(name, content)
    return file.getvalue()


def test_predict_tells_every_models_answer(post, png):
    # red 1 and green 2 everywhere: 3 x 4 - 2 x 8 + 0.5
    found = post("/api/v1/predict", ("a.png", png())).json["images"][0]
    assert found["name"] == "a.png"
    assert (found["width"], found["height"]) == (8, 8)
    assert [answer["model"] for answer in found["answers"]] == ["model", "model 2"]
    first = found["answers"][0]
    assert first["logit"] == pytest.approx(-3.5)
    assert first["probability"] == pytest.approx(float(score(np.array(-3.5))), abs=1e-6)
    assert (first["answer"], first["calibrated"], first["note"]) == ("real", False, "")


def test_between_the_thresholds_it_is_not_sure(post, png):
    found = post("/api/v1/predict?model=model", ("a.png", png(colour=(4, 6, 0)))).json["images"][0]["answers"][0]
    assert (found["logit"], found["answer"]) == (pytest.approx(0.5), "fake")  # 3 x 16 - 2 x 24 + 0.5: 0.62
    found = post("/api/v1/predict?model=model", ("a.png", png(colour=(0, 0, 0)))).json["images"][0]["answers"][0]
    assert found["answer"] == "fake"


def test_explain_gives_maps_that_can_be_computed_by_hand(post, png):
    found = post("/api/v1/explain?model=model&methods=hirescam", ("a.png", png())).json["images"][0]["answers"][0]
    view, only = found["view"], found["maps"][0]
    assert (view["width"], view["height"], view["box"]) == (8, 8, [0, 0, 8, 8])
    assert base64.b64decode(view["jpeg"]).startswith(b"\xff\xd8")
    assert (only["layer"], only["method"], only["signed"], only["height"], only["width"]) == ("conv", "hirescam", True, 4, 4)
    levels = np.frombuffer(base64.b64decode(only["levels"]), np.uint8).reshape(4, 4)
    # red at cell (1, 2): 3 x 4 = 12 for fake; green at cell (3, 0): 2 x 8 = 16 for real, the strongest
    expected = np.full((4, 4), 128)
    expected[1, 2], expected[3, 0] = 128 + round(127 * 12 / 16), 1
    assert levels.tolist() == expected.tolist()
    assert (only["scale"], only["highest"], only["empty"]) == (16, 12, False)
    assert only["box"] == [0, 0, 1, 1]
    assert found["parts"]
    assert {"part", "area", "shares"} == set(found["parts"][0])


def test_an_empty_map_is_called_empty(post, png):
    found = post("/api/v1/explain?model=model&methods=hirescam", ("a.png", png(colour=(0, 9, 0)))).json["images"][0]["answers"][0]
    assert found["maps"][0]["empty"]
    assert {share for part in found["parts"] for share in part["shares"]} == {None}


def test_a_raw_body_and_an_archive_are_images_too(client, post, png):
    assert client.post("/api/v1/predict", data=png(), content_type="image/png").json["images"][0]["name"] == "image"
    zipped = archive(("faces/", b""), ("faces/a.png", png()), ("../../b.png", png()), ("__MACOSX/._a.png", b"x"), (".hidden", b"x"))
    found = post("/api/v1/predict", ("all.zip", zipped)).json["images"]
    assert [image["name"] for image in found] == ["a.png", "b.png"]


def test_one_bad_image_does_not_spoil_the_others(post, png):
    reply = post("/api/v1/predict", ("a.png", png()), ("b.png", b"no image"), ("c.png", png(4, 20)))
    assert reply.status_code == 200
    first, second, third = reply.json["images"]
    assert "answers" in first
    assert second["error"].startswith("not an image: it is a text file")
    assert "at least 8" in third["error"]


def test_a_damaged_file_of_an_archive_does_not_spoil_the_others(post, png):
    zipped = archive(("a.png", png()), ("b.png", b"xyzw" * 9), compression=zipfile.ZIP_STORED).replace(b"xyzwxyzw", b"xyzwXyzw", 1)
    first, second = post("/api/v1/predict", ("all.zip", zipped)).json["images"]
    assert "answers" in first
    assert second["error"].startswith("it is damaged in the archive (Bad CRC-32")


def test_archives_share_what_a_request_may_hold(post):
    zipped = archive(("a.bin", b"\0" * 1_900_000))
    names = [image["error"] for image in post("/api/v1/predict", *[(f"{n}.zip", zipped) for n in range(4)]).json["images"]]
    assert [name.startswith("larger than") for name in names] == [False, False, False, True]  # 6 MB in all


def test_an_archive_with_an_endless_table_of_contents_is_not_read(post):
    reply = post("/api/v1/predict", ("a.zip", archive(*[(f"{n:0200}/", b"") for n in range(4300)])))
    assert (reply.status_code, reply.json["error"]) == (413, "the archive lists too much; at most 4 images are taken at once")


def test_a_model_that_lacks_a_layer_does_not_spoil_the_others(desk, post, png, monkeypatch):
    explain = desk.explain

    def other(image, served, *rest):
        if served.name == "model 2":
            raise WhyfakeError("layer 'conv' is not in the model")
        return explain(image, served, *rest)

    monkeypatch.setattr(desk, "explain", other)
    reply = post("/api/v1/explain?layers=conv", ("a.png", png()))
    assert reply.status_code == 200
    first, second = reply.json["images"][0]["answers"]
    assert first["logit"] == pytest.approx(-3.5)
    assert second == {"model": "model 2", "error": "layer 'conv' is not in the model"}


def test_any_order_of_methods_is_one_request(desk, post, png):
    served = desk.models["model"]
    assert served.chosen("conv,conv", "lrp,hirescam,hirescam,activation") == served.chosen("conv", "activation,lrp,hirescam")
    maps = post("/api/v1/explain?model=model&methods=hirescam,hirescam", ("a.png", png())).json["images"][0]["answers"][0]["maps"]
    assert [one["method"] for one in maps] == ["hirescam"]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 422, "the file is empty"),
        (b"hello", 422, "not an image: it is a text file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 422, "damaged|not an image"),
        (b"\0" * 2_000_001, 413, "the file has 2 MB; at most 2 are taken"),
        (archive(*[(f"{n}.png", b"x") for n in range(5)]), 413, "the archive holds 5 files; at most 4"),
        (archive(("a.png", b"\0" * 3_000_000)), 422, "larger than 2 MB"),
        (b"PK\x03\x04 broken", 422, "the archive cannot be read"),
        (
            archive(("?", b"x")).replace(b"\x01\x00\x00\x00?", b"\x00\x00\x00\x00?"),
            422,
            "damaged in the archive|archive cannot be read",
        ),  # a file without a name
        (archive(("a.png", b"x" * 99), compression=zipfile.ZIP_LZMA), 422, "packed in an unusual way"),
    ],
)
@pytest.mark.parametrize("address", ASKING[:2])
def test_what_is_refused_says_why(post, address, content, status, reason):
    reply = post(address, ("a.png", content))
    assert reply.status_code == status
    assert re.search(reason, reply.json["error"])


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(post, png):
    bomb = claims(50_000, 50_000)
    start = time.perf_counter()
    reply = post("/api/v1/predict", ("a.png", bomb))
    assert (reply.status_code, time.perf_counter() - start < 2) == (422, True)
    assert reply.json["error"].startswith("more than 1,000,000 pixels")


def claims(width, height):
    """Return a PNG of a few bytes that claims to be huge."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("?model=other", 404, "model 'other' is not served; expected one of: model, model 2"),
        ("?layers=none", 400, "layer 'none' is not in the model"),
        ("?methods=smoothgrad,vargrad,integrated_gradients", 400, "these methods take more than 64 passes together"),
        ("?methods=magic", 400, "method 'magic' is not offered here"),
        ("?methods=rise", 400, "method 'rise' is not offered here"),
        ("?methods=integrated_gradients:baseline=/etc/passwd", 400, "is not offered here"),
        ("?methods=smoothgrad:samples=1000000", 400, "is not offered here"),
    ],
)
def test_a_wrong_question_is_told_what_to_ask(post, png, query, status, reason):
    reply = post(f"/api/v1/explain{query}", ("a.png", png()))
    assert reply.status_code == status
    assert reason in reply.json["error"]


def test_effects_come_part_by_part(post, png):
    reply = post("/api/v1/effects?model=model", ("a.png", png(colour=(9, 5, 3))))
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[0]["done"] == 0
    parts = lines[1:]
    assert [line["done"] for line in parts] == list(range(1, parts[0]["of"] + 1))
    assert all(set(line["effect"]) == {"blur"} for line in parts)
    assert all(abs(line["effect"]["blur"]) < 1e-3 for line in parts)  # one colour blurred is the same colour


def test_effects_ask_for_one_model_and_one_image(post, png):
    assert post("/api/v1/effects", ("a.png", png())).status_code == 400
    assert post("/api/v1/effects?model=model", ("a.png", png()), ("b.png", png())).status_code == 413
    assert post("/api/v1/effects?model=model", ("a.png", b"x")).status_code == 422
    assert post("/api/v1/effects?model=model", ("a.png", png())).status_code == 200  # the refused ones gave their place back


def test_images_of_one_name_are_two_images(post, png):
    assert "2 images" in post("/api/v1/report", ("real/1.png", png()), ("fake/1.png", png())).text


def test_the_report_holds_every_image_and_no_script(post, png):
    reply = post("/api/v1/report", ("<b>a</b>.png", png()), ("b.png", b"x"))
    assert reply.status_code == 200
    assert reply.headers["Content-Disposition"] == 'attachment; filename="whyfake-report.html"'
    assert "<b>" not in reply.text.split("<main")[1]
    assert "<script" not in reply.text
    assert "not an image: it is a text file" in reply.text
    assert "probability of fake" in reply.text


@pytest.mark.parametrize("address", ASKING)
def test_nothing_sent_is_a_wrong_request(client, address):
    assert client.post(address).status_code == 415
    assert client.post(address, data={"other": "x"}, content_type="multipart/form-data").status_code == 400
    reply = client.get(address)
    assert (reply.status_code, reply.headers["Allow"]) == (405, "OPTIONS, POST")


def test_a_request_too_large_is_refused(client):
    assert client.post("/api/v1/predict", data=b"\0" * 6_000_001, content_type="image/png").status_code == 413


def test_every_answer_is_guarded(client):
    for address in ("/", "/static/web.js", "/static/report.css", "/api/v1/models", "/nothing", "/docs", "/docs/swagger-ui-bundle.js"):
        with client.get(address) as reply:
            headers = reply.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
    page = client.get("/").text
    assert "onclick" not in page
    assert "style=" not in page
    assert "<script>" not in page


def test_other_sites_may_not_ask(client, png):
    reply = client.post("/api/v1/predict", data=png(), content_type="image/png", headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status_code == 403


def test_a_token_is_asked_for(desk, png):
    client = create_app(desk, token="open sesame").test_client()
    assert client.get("/").status_code == client.get("/healthz").status_code == 200
    reply = client.get("/api/v1/models")
    assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.get("/metrics").status_code == 401
    assert client.get("/api/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/v1/models", headers={"Authorization": "Bearer open sesame"}).status_code == 200


@pytest.mark.parametrize(("token", "reason"), [("öffne dich", "take one of plain ASCII"), (" \n", "the token is blank")])
def test_a_token_that_no_request_can_match_is_refused(token, reason):
    with pytest.raises(RunError, match=reason):
        serve([], token=token)


def test_other_host_names_are_refused_where_only_this_machine_is_meant(desk):
    client = create_app(desk, hosts=["127.0.0.1", "localhost", "::1"]).test_client()
    for name in ("localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000", "[::1]"):
        assert client.get("/healthz", headers={"Host": name}).status_code == 200, name
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


def test_health_and_numbers(client, post, png):
    assert client.get("/healthz").json["status"] == "ok"
    post("/api/v1/predict", ("a.png", png()))
    text = client.get("/metrics").text
    assert 'whyfake_requests_total{endpoint="predict",status="200"} 1.0' in text
    assert 'whyfake_answers_total{outcome="answered"} 2.0' in text
    post("/api/v1/predict", ("a.png", b"no image"))
    post("/api/v1/report", ("a.png", png()), ("b.png", b"no image"))
    text = client.get("/metrics").text
    assert 'whyfake_answers_total{outcome="answered"} 4.0' in text
    assert 'whyfake_answers_total{outcome="refused"} 2.0' in text
    assert "whyfake_waiting_images 0.0" in text


def test_a_server_that_stops_says_so(desk, png):
    app = create_app(desk)
    app.extensions["gauges"].stopping = True
    client = app.test_client()
    reply = client.post("/api/v1/predict", data=png(), content_type="image/png")
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
    assert client.get("/healthz").status_code == 503
    assert app.extensions["gauges"].running == 0


def test_an_error_of_ours_is_no_traceback_of_theirs(desk, png, monkeypatch, caplog):
    def broken(*args):
        raise KeyError("secret.png")

    monkeypatch.setattr(desk, "predict", broken)
    reply = create_app(desk).test_client().post("/api/v1/predict", data=png(), content_type="image/png")
    assert (reply.status_code, reply.json["error"]) == (500, "something went wrong here; the server's log names it")
    assert "secret" not in caplog.text


def test_the_openapi_document_names_every_address(client):
    document = client.get("/api/v1/openapi.json").json
    known = {str(rule) for rule in client.application.url_map.iter_rules() if str(rule).startswith("/api/v1")} - {"/api/v1/openapi.json"}
    assert known <= set(document["paths"])
    for name in json.dumps(document).split("#/components/schemas/")[1:]:
        assert name.split('"')[0] in document["components"]["schemas"]
