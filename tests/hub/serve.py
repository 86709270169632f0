"""A hub of models that speaks the endpoints of huggingface.co: `serving_hub` runs it in threads.

It is two servers: the hub knows who may read what, and answers for a large file with a redirect to
the CDN, which is another origin, wants a signature and must never see a token.
"""

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.hub.handlers import CdnHandler, HubHandler
from tests.hub.hub import Hub, HubServer
from tests.hub.repos import Repos

POLL_INTERVAL_S = 0.02


@contextmanager
def serving_hub(root: Path, *, port: int = 0, cdn_host: str = "127.0.0.1") -> Generator[Hub]:
    """Serve the repositories below `root` for the block."""
    hub = Hub(Repos(root))
    with ExitStack() as stack:
        cdn = stack.enter_context(_served(HubServer((cdn_host, 0), CdnHandler, hub)))
        server = stack.enter_context(_served(HubServer(("127.0.0.1", port), HubHandler, hub)))
        hub.endpoint, hub.cdn_endpoint = server.endpoint, cdn.endpoint
        try:
            yield hub
        finally:
            hub.stopped.set()


@contextmanager
def _served(server: HubServer) -> Generator[HubServer]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL_S,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
