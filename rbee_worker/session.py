"""A loaded model with its KV cache: rows of tokens go in, logits and vectors come out.

The graph says how its cache is held (`layouts/signature.py`).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx as untyped_onnx
from numpy.typing import NDArray

from rbee_shared.errors import UnimplementedError
from rbee_shared.machine import usable_memory
from rbee_worker.compute_error import GIB, OutOfMemoryError, compute_error
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.device import Device
from rbee_worker.layouts.buffers import CacheForm, Caches, HostCaches
from rbee_worker.layouts.confined import check_confined
from rbee_worker.layouts.cut import parts
from rbee_worker.layouts.device_buffers import DeviceCaches
from rbee_worker.layouts.embedder import Embedder
from rbee_worker.layouts.for_cuda import for_cuda
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.growing_cache import GrowingCache
from rbee_worker.layouts.own_cache import OwnCache
from rbee_worker.layouts.shared_cache import SharedCache
from rbee_worker.layouts.signature import Signature, Style, Told, signature_of
from rbee_worker.provider import PROVIDERS, loaded

onnx: Any = untyped_onnx

Floats = NDArray[np.float32]

LOGIT_BYTES_MAX = 64 * 1024 * 1024  # of one run, where a graph puts out logits for every token
EXACT_KIND = "int8"


class _Rows(Protocol):
    def prefill(self, row: int, tokens: Sequence[int], past: int, logit_count: int) -> Floats: ...

    def decode(self, first: int, tokens: Sequence[int], lengths: Sequence[int]) -> Floats: ...


class Session:
    """A loaded model with `slots` rows of `max_len` tokens. Used by one thread.

    `is_exact` says that the logits of a row are the same to the last bit however its tokens were
    cut into runs and whatever is computed beside it. `has_embeddings` says that the model makes
    vectors of texts.
    """

    def __init__(
        self,
        folder: Path,
        description: ModelDescription,
        *,
        device: Device,
        threads: int,
        max_len: int,
        slots: int,
    ) -> None:
        """Load the model; takes seconds. A model whose cache grows has one slot.

        Raises:
            ModelDamagedError: a file is missing, cannot be read, or is not what is described.
            OutsideFolderError: the graph names data that is not in the folder.
            ProviderUnavailableError: the device is not the one in use afterwards.
            UnimplementedError: the graph is of a layout that is not known here.
            GraphTooLargeError: the graph is larger than any that is known.
            OutOfMemoryError: the weights, or so many slots, do not fit into the memory.
        """
        graph = GraphFile.read(folder, description.graph)
        check_confined(folder, graph)  # again: files change after they were described
        signature = signature_of(graph)
        _check_described(description, signature)
        path = graph.path
        del graph  # it may hold weights
        is_changed = device.kind == "cuda" and signature.style is Style.OWN
        if is_changed:
            signature = replace(signature, cache_kind="float16")
        self._session: Any = loaded(
            path,
            device=device,
            threads=threads,
            graph=_graph_for_cuda(path) if is_changed else None,
            is_whole=is_changed,
        )
        self.max_len = max_len
        self.vocab_size = description.vocab_size
        self.style = signature.style
        self.slots = 1 if self.style is Style.COMPAT else slots
        self.is_exact = self.style is Style.OWN and signature.cache_kind == EXACT_KIND
        self.has_embeddings = signature.has_hidden
        self._hidden_size = description.hidden_size
        self._told = signature.logits
        self._run_tokens_max = max_len
        if self._told is Told.ALL:
            self._run_tokens_max = max(1, LOGIT_BYTES_MAX // (self.vocab_size * 4))
        new_caches = partial(_new_caches, signature, description, device)
        with _computing():
            self._caches = None
            if self.style is not Style.COMPAT:
                self._caches = new_caches(self.slots, max_len)
            self._rows = self._held(signature, description)
        self._embedder = Embedder(
            self._session.io_binding, self._run, new_caches, description.hidden_size
        )

    def prefill(
        self, row: int, tokens: Sequence[int], past: int, *, logit_count: int = 1
    ) -> Floats:
        """Compute tokens that follow the first `past` of a row; what it held beyond is lost.

        Args:
            row: of the cache.
            tokens: at least one; with `past` at most `max_len`.
            past: tokens of the row that stay.
            logit_count: for how many of the last tokens logits are wanted; for none it is quicker.

        Returns:
            [logit_count, vocabulary], valid until the next call; the caller may write to it.

        Raises:
            ComputeError: it could not be computed.
            OutOfMemoryError: there is no memory for it.
        """
        found: list[Floats] = []
        cuts = parts(len(tokens), logit_count, told=self._told, tokens_max=self._run_tokens_max)
        with _computing():
            for part in cuts[:-1]:
                run = tokens[part.begin : part.end]
                found.append(self._rows.prefill(row, run, past + part.begin, part.logit_count))
            part = cuts[-1]
            run = tokens[part.begin :] if part.begin else tokens
            found.append(self._rows.prefill(row, run, past + part.begin, part.logit_count))
            return np.concatenate(found) if found[1:] else found[0]

    def decode(self, first: int, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Compute one token for each of the rows from `first` on, in one run.

        Args:
            first: of the rows, which stand side by side.
            tokens: the newest of each row.
            lengths: how many tokens each row holds before it.

        Returns:
            [rows, vocabulary], valid until the next call; the caller may write to it.

        Raises:
            ComputeError: it could not be computed.
            OutOfMemoryError: there is no memory for it.
        """
        with _computing():
            return self._rows.decode(first, tokens, lengths)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a row to another.

        Raises:
            OutOfMemoryError: there is no memory for it.
        """
        assert self._caches is not None, "one row has no other"
        with _computing():
            self._caches.copy(source, target, length)

    def swap(self, one: int, other: int, length: int) -> None:
        """Let two rows change places, with the first `length` tokens of both.

        Raises:
            OutOfMemoryError: there is no memory for it.
        """
        assert self._caches is not None, "one row has no other"
        with _computing():
            self._caches.swap(one, other, length)

    @property
    def embedding_size(self) -> int:
        """Numbers of a vector.

        Raises:
            UnimplementedError: the model makes no vectors.
        """
        if not self.has_embeddings:
            raise UnimplementedError(
                "the model's graph does not put out hidden states, which vectors are made of",
                reason="EMBEDDINGS_UNSUPPORTED",
                hint="models that rbee makes of GGUF files have them: pull one of these",
            )
        return self._hidden_size

    def embedding(self, texts: Sequence[Sequence[int]]) -> Generator[None, None, Floats]:
        """Make a vector of length 1 of each text, a run at a time; rows stay as they are.

        Args:
            texts: each of at least one token and at most the model's context.

        Returns:
            [texts, hidden size].

        Raises:
            UnimplementedError: the model makes no vectors.
            ComputeError: they could not be computed.
            OutOfMemoryError: there is no memory for it.
        """
        assert self.embedding_size
        with _computing():
            return (yield from self._embedder.runs(texts))

    def _held(self, signature: Signature, description: ModelDescription) -> _Rows:
        binding, caches = self._session.io_binding, self._caches
        if caches is None:
            heads, size = description.kv_heads, description.head_dim
            return GrowingCache(binding, self._run, signature, kv_heads=heads, head_dim=size)
        if signature.style is Style.SHARED:
            return SharedCache(binding, self._run, caches, signature.kinds)
        return OwnCache(
            binding,
            self._run,
            caches,
            rows=self.slots,
            max_len=self.max_len,
            vocab_size=self.vocab_size,
        )

    def _run(self, binding: Any) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise compute_error(error) from error


@contextmanager
def _computing() -> Generator[None]:
    try:
        yield
    except MemoryError as error:
        raise compute_error(error) from error


def _new_caches(
    signature: Signature, description: ModelDescription, device: Device, rows: int, length: int
) -> Caches:
    form = CacheForm(
        names=signature.caches,
        kind=signature.cache_kind,
        rows=rows,
        kv_heads=description.kv_heads,
        max_len=length,
        head_dim=description.head_dim,
    )
    if device.kind != "cpu":
        return DeviceCaches(form, device, PROVIDERS[device.kind])
    machine_bytes = usable_memory().total_bytes
    if form.size_bytes > machine_bytes:
        raise OutOfMemoryError(
            f"a KV cache for {rows} x {length} tokens takes {form.size_bytes / GIB:.1f} GiB,"
            f" the machine has {machine_bytes / GIB:.1f} GiB"
        )
    return HostCaches(form)


def _graph_for_cuda(path: Path) -> bytes:
    model = onnx.load_model(path, load_external_data=False)
    return for_cuda(model).SerializeToString()


def _check_described(description: ModelDescription, signature: Signature) -> None:
    for name in ("layers", "kv_heads", "head_dim", "vocab_size", "hidden_size"):
        found, said = getattr(signature, name), getattr(description, name)
        if found not in (None, said):
            raise ModelDamagedError(f"the model is described with {name} {said}, it has {found}")
