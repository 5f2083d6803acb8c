"""A server's desk with the tiny detector behind it, and a client that asks it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import stream_encode_multipart

from reports.web.app import create_app
from reports.web.desk import Desk
from reports.web.limits import Limits
from reports.web.served import named
from xai.regions.source import open_source

LIMITS = Limits(file_bytes=2_000_000, request_bytes=6_000_000, pixels=1_000_000, side=5_000, images=4, seconds=5.0, patience=20.0)


@pytest.fixture(scope="package")
def desk(tiny: Any) -> Iterator[Desk]:
    made = Desk(named([tiny, tiny]), LIMITS, open_source("template"))
    yield made
    made.close()


@pytest.fixture
def client(desk: Desk) -> Any:
    return create_app(desk).test_client()


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Return a function that makes a PNG of one colour."""

    def made(width: int = 8, height: int = 8, colour: tuple[int, int, int] = (1, 2, 0), kind: str = "PNG") -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.full((height, width, 3), colour, np.uint8)).save(file, kind)
        return file.getvalue()

    return made


@pytest.fixture
def post(client: Any) -> Callable[..., Any]:
    """Return a function that sends files as the page does."""

    def sent(address: str, *files: tuple[str, bytes], **options: Any) -> Any:
        data = {"image": [FileStorage(io.BytesIO(content), name) for name, content in files]}
        stream, _, boundary = stream_encode_multipart(data, use_tempfile=False)
        return client.post(address, data=stream.read(), content_type=f'multipart/form-data; boundary="{boundary}"', **options)

    return sent
