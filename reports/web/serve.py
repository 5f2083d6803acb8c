"""The server itself: waitress in front of the web application, stopped without losing an answer."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from types import FrameType
from typing import Any

from reports.web.limits import Limits
from xai.errors import RunError
from xai.threads import alone

MISSING = "the upload page needs the extra 'web': pip install 'whyfake[web]'"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SPARE = 8  # threads beyond those that may wait for the network, so that the page and /healthz always answer
CONNECTIONS = 100
STILL = 30  # seconds after which a connection that says nothing is closed
BEHIND: dict[str, Any] = {  # of a proxy on this machine: visitors are told apart by what it says of them
    "trusted_proxy": "127.0.0.1",
    "trusted_proxy_headers": {"x-forwarded-for"},
    "clear_untrusted_proxy_headers": True,
}
FLUSHED = 0.3  # seconds for the last bytes to leave


def serve(
    detectors: Sequence[Any],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    proxy: str = "",
    regions: str = "auto",
    limits: Limits | None = None,
    pools: Callable[[Any, Any], Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
    quiet: bool = False,
) -> None:
    """Answer uploads until told to stop (Ctrl-C or SIGTERM); what is being answered then is answered first.

    Args:
        detectors: the models.
        host: address to listen at; all but the loopback ones are reachable by others.
        port: 0 for any that is free.
        token: asked for as "Authorization: Bearer …".
        proxy: name under which a proxy on this machine is asked for it; "" without one.
        regions: who says the parts of a face, as in `xai.regions.source.open_source`.
        limits: what is taken at most.
        pools: called with a detector and the source of parts, returns the faces that lend parts, by class.
        say: told where the page is.
        quiet: no line per request.

    Raises:
        RunError: the extra is not installed, the address cannot be had, or the token cannot be sent.
    """
    ready()
    if token and not token.strip():
        raise RunError("the token is blank, which would let everyone in; take a word")
    token = token.strip()
    if not token.isascii():
        raise RunError("the token has letters that a request's header cannot carry; take one of plain ASCII")
    from waitress.server import create_server

    from reports.web import app as web
    from reports.web.desk import Desk
    from reports.web.served import named
    from xai.regions.source import open_source

    limits = limits or Limits()
    models = named(detectors)
    source = open_source(regions)
    lent = {served.name: pools(served.detector, source) for served in models} if pools and source else {}
    for served in models:
        say(f"preparing {served.name} ({served.detector.size[1]} × {served.detector.size[0]})")
        served.warm()
    with ExitStack() as stack:
        stack.enter_context(alone())
        desk = Desk(models, limits, source, lent)
        stack.callback(desk.close)
        application = web.create_app(desk, token, [*LOOPBACK, *filter(None, [proxy.lower()])] if proxy or host in LOOPBACK else [])
        log(quiet)
        try:
            server = create_server(
                application,
                host="127.0.0.1" if host == "localhost" else host,  # else it may listen at two addresses, with two ports
                port=port,
                threads=limits.waiting + SPARE,
                connection_limit=CONNECTIONS,
                channel_timeout=STILL,
                channel_request_lookahead=1,  # tells that a visitor has left
                max_request_body_size=limits.request_bytes + 2**20,
                inbuf_overflow=limits.request_bytes + 2**21,  # never on the disk
                outbuf_overflow=2**30,
                ident="whyfake",
                **(BEHIND if proxy else {}),
            )
        except OSError as error:
            raise RunError(f"cannot listen at {host}:{port} ({error.strerror or error}); give another --port, 0 for any that is free") from None
        stack.callback(server.close)
        if host not in LOOPBACK:
            why = "anyone who reaches this machine can use it" if not token else "the token travels unencrypted"
            say(f"warning: listening at {host}: {why}; put a server with HTTPS in front of it, or leave --host out")
        say(f"whyfake serves {', '.join(desk.models)} at http://{'[::1]' if host == '::1' else host}:{server.effective_port}/ (Ctrl-C stops it)")
        with Stopping(application.extensions["gauges"], limits.closing, server):
            server.run()
    say("stopped")


def ready() -> None:
    """Complain before any work when a package is missing.

    Raises:
        RunError: the extra is not installed.
    """
    if any(find_spec(name) is None for name in ("flask", "pebble", "prometheus_client", "swagger_ui_bundle", "waitress")):
        raise RunError(MISSING)


def log(quiet: bool) -> None:
    """Write a line per request to standard error, unless quiet; waitress' own complaints of full queues not at all."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("whyfake.web")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    logging.getLogger("waitress").setLevel(logging.CRITICAL)


class Stopping:
    """While it lasts, Ctrl-C and SIGTERM end the server once all answers in the making are given; a second one ends it at once."""

    def __init__(self, gauges: Any, patience: float, server: Any) -> None:
        self.gauges, self.patience, self.server = gauges, patience, server
        self.before: dict[int, Any] = {}
        self.over = False

    def __enter__(self) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            self.before[name] = signal.signal(name, self.asked)

    def __exit__(self, *raised: object) -> None:
        for name, handler in self.before.items():
            signal.signal(name, handler)

    def asked(self, number: int, frame: FrameType | None) -> None:
        """Begin to stop; waitress ends its loop on SystemExit."""
        if self.over or self.gauges.stopping:
            raise SystemExit
        self.gauges.stopping = True
        threading.Thread(target=self.drain, name="whyfake-stop", daemon=True).start()

    def unsent(self) -> bool:
        """Say whether bytes of answers have not left yet."""
        return any(channel.total_outbufs_len for channel in list(self.server.active_channels.values()))

    def drain(self) -> None:
        """Wait until nothing is being answered, then end the loop of the main thread."""
        until = time.monotonic() + self.patience
        while (self.gauges.running or self.unsent()) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(FLUSHED)
        self.over = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
