"""The Hugging Face hub, asked for what a repository has. Blocks; call it in a thread.

huggingface_hub knows the endpoint (HF_ENDPOINT), the token (HF_TOKEN or the file of `hf auth
login`), proxies and the offline mode. It takes a tenth of a second to import, so this file is
imported where it is used and not when a hive starts.
"""

import re
from collections.abc import Sequence
from typing import cast

from httpx2 import HTTPError, InvalidURL
from huggingface_hub import HfApi, ModelInfo, get_token, hf_hub_url
from huggingface_hub.constants import HF_HUB_DISABLE_IMPLICIT_TOKEN
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoSibling

from rbee_hive.sources.choose import TooManyFilesError
from rbee_hive.sources.hub_errors import (
    EndpointMalformedError,
    SourceDamagedError,
    TokenRefusedError,
    explain,
    host_of,
)
from rbee_hive.sources.listing import LISTED_FILES_MAX, ListedFile, Listing
from rbee_shared.references.kinds import HubReference

ANSWER_TIMEOUT_S = 20.0  # to connect, and between two pieces of the answer
LICENCE_LENGTH_MAX = 64

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LICENCE_TAG = "license:"


class HubSource:
    """A hub. `endpoint` is where it is: that of HF_ENDPOINT, if none is given."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._api = HfApi(endpoint=endpoint)
        self.endpoint: str = self._api.endpoint.rstrip("/")

    def token(self) -> str:
        """Return the token that the user has for the hub; empty if none, or it is not to be shown.

        Raises:
            TokenRefusedError: it can be no token.
        """
        token = "" if HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token() or ""
        if not (token.isascii() and token.isprintable()):
            raise TokenRefusedError(host_of(self.endpoint), "has characters that no token has")
        return token

    def url(self, listing: Listing, file: ListedFile) -> str:
        """Return where the bytes of a file are, pinned to the commit of the listing."""
        return hf_hub_url(listing.repo, file.path, revision=listing.commit, endpoint=self.endpoint)

    def listing(self, reference: HubReference) -> Listing:
        """Return what the repository has at the revision that the reference means now.

        Raises:
            NotFoundError: there is no such repository or revision, or it is private.
            PermissionDeniedError: it is gated or disabled.
            UnauthenticatedError: the token is not taken.
            UnavailableError: the hub cannot be reached, or cannot answer now.
            FailedPreconditionError: the hub is not to be asked, or HF_ENDPOINT is no address.
            SourceDamagedError: the answer cannot be understood.
            TooManyFilesError: it has more files than any model.
        """
        host_of(self.endpoint)
        token = self.token()
        return _listing(reference.repo, self._info(reference, token))

    def _info(self, reference: HubReference, token: str) -> ModelInfo:
        try:
            return self._api.model_info(
                reference.repo,
                revision=reference.revision or None,
                files_metadata=True,
                timeout=ANSWER_TIMEOUT_S,
                token=token or False,
            )
        except (HTTPError, OfflineModeIsEnabled) as error:
            raise explain(
                error,
                repo=reference.repo,
                revision=reference.revision,
                endpoint=self.endpoint,
                has_token=bool(token),
            ) from error
        except InvalidURL as error:
            raise EndpointMalformedError from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            # the library reads the answer without looking: whatever it stumbles over is the answer
            raise SourceDamagedError(reference.repo, "it is not what a hub says") from error


def _listing(repo: str, info: ModelInfo) -> Listing:
    siblings = _checked(repo, info)
    files = tuple(_file(repo, each) for each in siblings)
    if len({each.path for each in files}) != len(files):
        raise SourceDamagedError(repo, "it names a file twice")
    return Listing(
        repo,
        str(info.sha),
        files,
        licence=_licence(info),
        is_gated=bool(info.gated),
        is_private=bool(info.private),
    )


def _checked(repo: str, info: ModelInfo) -> Sequence[RepoSibling]:
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
        raise SourceDamagedError(repo, "it names no commit")
    if info.siblings is None:
        raise SourceDamagedError(repo, "it names no files")
    if len(info.siblings) > LISTED_FILES_MAX:
        raise TooManyFilesError(f"`{repo}` has more than {LISTED_FILES_MAX} files")
    return info.siblings


def _file(repo: str, sibling: RepoSibling) -> ListedFile:
    path, size_bytes = cast("object", sibling.rfilename), cast("object", sibling.size)
    if not isinstance(path, str) or not isinstance(size_bytes, int) or size_bytes < 0:
        raise SourceDamagedError(repo, "a file has no size")
    if sibling.lfs is None:
        return ListedFile(path, size_bytes, git_sha1=_hash(repo, _COMMIT, sibling.blob_id))
    if sibling.lfs.size != size_bytes:
        raise SourceDamagedError(repo, "a file has two sizes")
    # the blob id of such a file is that of a pointer to it, and says nothing of its bytes
    return ListedFile(path, size_bytes, sha256=_hash(repo, _SHA256, sibling.lfs.sha256))


def _hash(repo: str, form: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise SourceDamagedError(repo, "a file has no hash")
    return value


def _licence(info: ModelInfo) -> str:
    card = info.card_data
    licence = cast("object", card.get("license") if card is not None else None)
    tags = cast("Sequence[object]", info.tags or ())
    if not isinstance(licence, str):
        tagged = [tag for tag in tags if isinstance(tag, str) and tag.startswith(_LICENCE_TAG)]
        licence = tagged[0].removeprefix(_LICENCE_TAG) if tagged else ""
    return licence[:LICENCE_LENGTH_MAX] if licence.isprintable() else ""
