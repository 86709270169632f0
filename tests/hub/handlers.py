"""The requests of the two servers of a test hub, and of whoever controls it over HTTP.

`POST /_hub/faults` adds a fault, `DELETE` ends all, `GET /_hub/requests` lists what was asked: for
tests that run the hub as a process.
"""

import json
import re
from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.answers import Answer, Found, address, described, error, find, model_info, refusal
from tests.hub.body import Body, reset
from tests.hub.faults import Fault, Kind
from tests.hub.hub import Hub, HubServer, Seen

MODEL = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>.+))?")
FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
SIGNED = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(?P<revision>[0-9a-f]{40})/(?P<path>.+)")
RANGE = re.compile(r"bytes=(?P<first>\d+)-(?P<last>\d*)")


class Handler(ABC, BaseHTTPRequestHandler):
    """What both have: the log, the faults and the writing of answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and its body go apart, and neither shall wait
    where = ""

    @property
    def hub(self) -> Hub:
        return cast("HubServer", self.server).hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
        """Say nothing."""

    def do_GET(self) -> None:
        self.handle_any()

    def do_HEAD(self) -> None:
        self.handle_any()

    @abstractmethod
    def handle_any(self) -> None:
        """Answer whatever was asked."""

    def note(self) -> None:
        token = self.headers.get("Authorization", "")
        span = self.headers.get("Range", "")
        self.hub.requests.append(Seen(self.where, self.command, self.path, span, token))

    def answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def has_failed(self, fault: Fault | None) -> bool:
        """Answer with the fault if it is one that leaves no file to give."""
        if fault is None:
            return False
        if fault.kind is Kind.STATUS:
            headers = {"Retry_After": fault.retry_after}
            self.answer(error(fault.status, fault.code, fault.text, **headers))
        elif fault.kind is Kind.REDIRECT_LOOP:
            self.answer(Answer(302, {"Location": self.path}))
        elif fault.kind is Kind.REDIRECT:
            self.answer(Answer(302, {"Location": fault.location}))
        elif fault.kind is Kind.RESET and fault.after_bytes < 0:
            reset(self.connection)
            self.close_connection = True
        else:
            return False
        return True

    def give(self, found: Found, fault: Fault | None, headers: dict[str, str]) -> None:
        """Give the bytes that are asked for."""
        size_bytes = found.file.size_bytes
        kind = fault.kind if fault else None
        span = RANGE.fullmatch(self.headers.get("Range", ""))
        begin, end = 0, size_bytes
        if span and kind is not Kind.NO_RANGE:
            begin = int(span["first"])
            end = min(size_bytes, int(span["last"]) + 1 if span["last"] else size_bytes)
            if begin >= size_bytes:
                self.answer(Answer(416, {"Content-Range": f"bytes */{size_bytes}"}))
                return
        shift = fault.by_bytes if fault and kind is Kind.OTHER_RANGE else 0
        longer = fault.by_bytes if fault and kind is Kind.OTHER_TOTAL else 0
        is_part = span is not None and kind is not Kind.NO_RANGE
        self.send_response(206 if is_part else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        if is_part:
            told = f"bytes {begin + shift}-{end - 1 + shift}/{size_bytes + longer}"
            self.send_header("Content-Range", told)
        self.send_header("Content-Length", str(end - begin + (0 if is_part else longer)))
        self.end_headers()
        if self.command != "HEAD":
            name = f"{found.commit.repo}/{found.file.path}"
            count = partial(self.hub.count_sent, name)
            body = Body(self.connection, found.file.file, begin, end, count)
            if not body.write(fault, self.hub.pace, self.hub.stopped):
                self.close_connection = True


class HubHandler(Handler):
    """The hub: models, files, and redirects to the CDN for the large ones."""

    where = "hub"

    def do_POST(self) -> None:
        assert self.path == "/_hub/faults"
        values = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.hub.faults.put(Fault.from_values(values))
        self.answer(Answer(200))

    def do_DELETE(self) -> None:
        assert self.path == "/_hub/faults"
        self.hub.faults.clear()
        self.answer(Answer(200))

    def handle_any(self) -> None:
        if self.path == "/_hub/requests":
            listed = json.dumps([asdict(each) for each in self.hub.requests])
            self.answer(Answer(200, {"Content-Type": "application/json"}, listed.encode()))
            return
        self.note()
        parts = urlsplit(self.path)
        if match := MODEL.fullmatch(parts.path):
            self._model(match["repo"], unquote(match["revision"] or "main"), "blobs" in parts.query)
        elif match := FILE.fullmatch(parts.path):
            self._file(match["repo"], unquote(match["revision"]), unquote(match["path"]))
        else:
            self.answer(error(404, text="Page not found"))

    def _model(self, repo: str, revision: str, with_blobs: bool) -> None:  # noqa: FBT001 - private
        fault = self.hub.faults.of("hub", self.command, f"api/{repo}", has_bytes=False)
        if self.has_failed(fault):
            return
        settings = self.hub.repos.settings(repo)
        shown = self.headers.get("Authorization", "")
        refused = refusal(repo, settings, shown, reads=False)
        commit = None if refused else self.hub.repos.commit(repo, revision)
        if commit is None or settings is None:
            missing = error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            self.answer(refused or missing)
        else:
            self.answer(model_info(commit, settings, with_blobs=with_blobs))

    def _file(self, repo: str, revision: str, path: str) -> None:
        shown = self.headers.get("Authorization", "")
        found = find(self.hub.repos, repo, revision, path, shown)
        has_bytes = isinstance(found, Found) and not found.file.sha256
        fault = self.hub.faults.of("hub", self.command, f"{repo}/{path}", has_bytes=has_bytes)
        if self.has_failed(fault):
            return
        if isinstance(found, Answer):
            self.answer(found)
        elif found.file.sha256:
            location = address(self.hub.cdn_endpoint, found, self.hub.sign())
            self.answer(Answer(302, described(found) | {"Location": location}))
        else:
            self.give(found, fault, described(found))


class CdnHandler(Handler):
    """The CDN: bytes for whoever has the address."""

    where = "cdn"

    def handle_any(self) -> None:
        self.note()
        parts = urlsplit(self.path)
        match = SIGNED.fullmatch(parts.path)
        signature = parse_qs(parts.query).get("Signature", [""])[0]
        if match is None or "Authorization" in self.headers:
            self.answer(error(400, text="Only one auth mechanism allowed"))
            return
        repo, path = match["repo"], unquote(match["path"])
        fault = self.hub.faults.of("cdn", self.command, f"{repo}/{path}", has_bytes=True)
        if fault and fault.kind is Kind.EXPIRED:
            self.hub.expire(signature)
        if self.has_failed(fault):
            return
        commit = self.hub.repos.commit(repo, match["revision"])
        file = commit.files.get(path) if commit else None
        if commit is None or file is None or not self.hub.is_signed(signature):
            self.answer(error(403, text="AccessDenied"))
            return
        headers = {"ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes"}
        self.give(Found(commit, file), fault, headers)
