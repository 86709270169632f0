"""What the two servers of a test hub share: repositories, faults, signatures, and what they saw."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from tests.hub.body import Pace
from tests.hub.faults import Faults
from tests.hub.repos import Repos


@dataclass(frozen=True, slots=True)
class Seen:
    """One request; `where` is `hub` or `cdn`, `range` the header, `token` what was shown."""

    where: str
    method: str
    path: str
    range: str
    token: str


@dataclass(slots=True)
class Hub:
    """A hub that is served. `endpoint` is what HF_ENDPOINT would be."""

    repos: Repos
    endpoint: str = ""
    cdn_endpoint: str = ""
    faults: Faults = field(default_factory=Faults)
    requests: list[Seen] = field(default_factory=list[Seen])
    sent: Counter[str] = field(default_factory=Counter[str])  # bytes, by `org/name/path`
    pace: Pace = field(default_factory=Pace)
    stopped: threading.Event = field(default_factory=threading.Event)
    _signatures: set[str] = field(default_factory=set[str])
    _signed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, repo: str, files: dict[str, bytes]) -> str:
        """Write files of a repository, each anew; return the commit that `main` is then."""
        for path, data in files.items():
            file = self.repos.root / repo / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # an earlier commit has the same file
            file.write_bytes(data)
        commit = self.repos.commit(repo, "main")
        assert commit is not None
        return commit.sha

    def count_sent(self, name: str, size_bytes: int) -> None:
        """Count bytes of a file that went out."""
        with self._lock:
            self.sent[name] += size_bytes

    def url(self, repo: str, path: str, revision: str = "main") -> str:
        """Return where a file is asked for."""
        return f"{self.endpoint}/{repo}/resolve/{revision}/{path}"

    def sign(self) -> str:
        """Return a signature that the CDN takes."""
        self._signed += 1
        signature = f"s{self._signed}"
        self._signatures.add(signature)
        return signature

    def is_signed(self, signature: str) -> bool:
        """Whether the CDN takes it."""
        return signature in self._signatures

    def expire(self, signature: str) -> None:
        """Take it no more."""
        self._signatures.discard(signature)


class HubServer(ThreadingHTTPServer):
    """One of the two servers; its handlers find the hub here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Any, hub: Hub) -> None:
        super().__init__(address, handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go in the middle: tests do it all the time."""

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"
