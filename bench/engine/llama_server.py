"""llama.cpp's server without HTTP, by xllamacpp, in a process of its own.

One stream is timed by llama.cpp's own timings, which leave out how its answer comes here; several
by when their tokens arrive.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from bench.engine.exchange import CONTEXT_TOKENS, SLOTS, Decoded, FirstTokens, Prompt, serve
from bench.engine.rates import Arrival, decode_rate

xllamacpp: Any = import_module("xllamacpp")

MILLISECONDS = 1_000
NEEDLE_TOKENS, DRAFT_TOKENS = 3, 8


@dataclass(frozen=True, slots=True)
class Server:
    """The server, asked from as many threads as there are streams."""

    server: Any

    async def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Answer all prompts at once; several are computed before, so that all begin together."""
        if len(prompts) == 1:
            timings = self._timings(prompts[0], count, is_cached=False)
            return Decoded(timings["predicted_per_second"], is_at_once=True, answers=[])
        for prompt in prompts:
            self._timings(prompt, 1, is_cached=True)
        with ThreadPoolExecutor(len(prompts)) as pool:
            streams = list(pool.map(partial(self._arrivals, count=count), prompts))
        rate = decode_rate(streams)
        return Decoded(rate.tokens_per_second, rate.is_at_once, [])

    async def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Answer a prompt with one token, twice."""
        first = self._timings(prompt, 1, is_cached=False)
        again = self._timings(prompt, 1, is_cached=True)
        return FirstTokens(
            first["prompt_ms"] / MILLISECONDS,
            again["prompt_ms"] / MILLISECONDS,
            first["cache_n"],
            again["cache_n"],
        )

    def _timings(self, prompt: Prompt, count: int, *, is_cached: bool) -> dict[str, Any]:
        answer = self.server.handle_completions(_asked(prompt, count, is_cached=is_cached))
        assert "timings" in answer, answer
        return answer["timings"]

    def _arrivals(self, prompt: Prompt, *, count: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        known = 0

        def take(chunk: dict[str, Any]) -> None:
            nonlocal known
            predicted: int = chunk["timings"]["predicted_n"]
            if predicted > known:
                arrivals.append((time.perf_counter(), predicted - known))
            known = predicted

        asked = _asked(prompt, count, is_cached=True)
        self.server.handle_completions({**asked, "stream": True, "timings_per_token": True}, take)
        return arrivals


def _asked(prompt: Prompt, count: int, *, is_cached: bool) -> dict[str, Any]:
    return {
        "prompt": prompt.tokens,
        "n_predict": count,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": is_cached,
    }


def _draft(speculative: Any) -> None:
    """Have it guess what follows by what came before, with lengths that suit short prompts."""
    speculative.types = [
        xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE,
    ]
    speculative.ngram_simple.size_n = NEEDLE_TOKENS
    speculative.ngram_simple.size_m = DRAFT_TOKENS


def main() -> None:
    """Be the engine that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("threads", type=int)
    parser.add_argument("--drafts", action="store_true")
    asked = parser.parse_args()
    params: Any = xllamacpp.CommonParams()
    params.model.path = asked.gguf
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked.threads
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cont_batching = True
    params.kv_unified = params.fit_params = False
    params.verbosity = -1
    if asked.drafts:
        _draft(params.speculative)
    server: Any = xllamacpp.Server(params)
    system = " ".join(xllamacpp.get_system_info().split())
    drafts = " with drafts" if asked.drafts else ""
    about = f"xllamacpp {xllamacpp.__version__}, server{drafts}; {system}"
    asyncio.run(serve(Server(server), about))


if __name__ == "__main__":
    main()
