"""What the hub answers when it does not give a file, and what it says of a model."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.hub.repos import Commit, HubFile, Repos, Settings

SCHEME = "Bearer "


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without a file: an error, a redirect, or JSON."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


def error(status: int, code: str = "", text: str = "", **headers: str) -> Answer:
    """Return an error as the hub gives it."""
    named = {"X-Error-Code": code, "X-Error-Message": text}
    body = json.dumps({"error": text or code}).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in (named | given).items() if value}
    return Answer(status, {"Content-Type": "application/json", **kept}, body)


def refusal(
    repo: str, settings: Settings | None, authorization: str, *, reads: bool
) -> Answer | None:
    """Return why a caller may not have a repository, None if it may.

    Args:
        repo: its name.
        settings: of it; None if there is none of that name.
        authorization: the header.
        reads: a file's bytes. What is gated can be looked at by everybody.
    """
    token = authorization.removeprefix(SCHEME)
    if token.startswith("invalid"):
        return error(401, text="Invalid credentials in Authorization header")
    if settings is None or (settings.is_private and token not in settings.granted):
        if not token:
            return error(401, "RepoNotFound", "Invalid username or password.")
        return error(404, "RepoNotFound", "Repository not found")
    if not reads or not settings.gated or token in settings.granted:
        return None
    restricted = f"Access to model {repo} is restricted"
    if not token:
        return error(401, "GatedRepo", f"{restricted}. Please log in.")
    return error(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")


def model_info(commit: Commit, settings: Settings, *, with_blobs: bool) -> Answer:
    """Return what the API says of a model."""
    values = {
        "_id": commit.sha[:24],
        "id": commit.repo,
        "modelId": commit.repo,
        "author": commit.repo.partition("/")[0],
        "sha": commit.sha,
        "lastModified": "2026-01-02T03:04:05.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "private": settings.is_private,
        "gated": settings.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{settings.license}", *settings.tags],
        "cardData": {"license": settings.license},
        "siblings": [_sibling(each, with_blobs=with_blobs) for each in commit.files.values()],
    }
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(values).encode())


def _sibling(file: HubFile, *, with_blobs: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"rfilename": file.path}
    if with_blobs:
        values |= {"size": file.size_bytes, "blobId": file.git_sha1}
        if file.sha256:
            lfs = {"size": file.size_bytes, "sha256": file.sha256, "pointerSize": 134}
            values["lfs"] = lfs
    return values


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be had."""

    commit: Commit
    file: HubFile


def find(repos: Repos, repo: str, revision: str, path: str, authorization: str) -> Found | Answer:
    """Return a file of a revision, or why it cannot be had."""
    if refused := refusal(repo, repos.settings(repo), authorization, reads=True):
        return refused
    commit = repos.commit(repo, revision)
    if commit is None:
        return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    file = commit.files.get(path)
    if file is None:
        return error(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit.sha)
    return Found(commit, file)


def described(found: Found) -> dict[str, str]:
    """Return the headers that the hub has for a file, whoever gives its bytes."""
    headers = {"X-Repo-Commit": found.commit.sha, "Accept-Ranges": "bytes"}
    if not found.file.sha256:
        return headers | {"ETag": f'"{found.file.git_sha1}"'}
    return headers | {
        "X-Linked-Etag": f'"{found.file.sha256}"',
        "X-Linked-Size": str(found.file.size_bytes),
    }


def address(endpoint: str, found: Found, signature: str) -> str:
    """Return where the CDN has a file, for those who have the signature."""
    path = quote(f"{found.commit.repo}/{found.commit.sha}/{found.file.path}")
    return f"{endpoint}/{path}?Expires=1798675200&Signature={signature}"
