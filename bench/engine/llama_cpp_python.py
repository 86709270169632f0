"""llama.cpp by its batch API, in a process of its own: it computes and takes the likeliest token.

No text, no scheduler, no server: what any engine on top of llama.cpp adds is left out of its time.
It imports llama-cpp-python and numpy, and nothing of rbee but what speaks to the benchmark.
"""

import argparse
import asyncio
import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from bench.engine.exchange import CONTEXT_TOKENS, Decoded, FirstTokens, Prompt, serve

llama: Any = import_module("llama_cpp")

BATCH_TOKENS = 512
FLASH_ATTENTION = 1
DATA_TOO = True
BUFFERS = "model buffer size"


@dataclass(slots=True)
class LowLevel:
    """A model, and a context for each number of streams that was asked for.

    A context for one stream alone is what llama.cpp is fastest with on one stream.
    """

    model: Any
    threads: int
    contexts: dict[int, Any] = field(default_factory=dict[int, Any])
    batch: Any = None

    def __post_init__(self) -> None:
        """Have the room for a batch."""
        self.batch = llama.llama_batch_init(BATCH_TOKENS, 0, 1)

    async def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Decode all prompts in one batch a step; the clock runs for the steps after the first."""
        context = self._context(len(prompts))
        llama.llama_memory_clear(llama.llama_get_memory(context), DATA_TOO)
        answers: list[list[int]] = []
        for stream, prompt in enumerate(prompts):
            self._fill_prompt(prompt.tokens, stream)
            self._run(context)
            answers.append([self._likeliest(context, len(prompt.tokens) - 1)])
        began_s = time.perf_counter()
        for step in range(count - 1):
            lengths = [len(prompt.tokens) + step for prompt in prompts]
            self._fill(
                [
                    (answer[-1], length, stream)
                    for stream, (answer, length) in enumerate(zip(answers, lengths, strict=True))
                ]
            )
            self._run(context)
            for place, answer in enumerate(answers):
                answer.append(self._likeliest(context, place))
        took_s = time.perf_counter() - began_s
        return Decoded(len(prompts) * (count - 1) / took_s, is_at_once=True, answers=answers)

    async def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Compute a prompt; then its last token alone, on top of all others."""
        context = self._context(1)
        memory = llama.llama_get_memory(context)
        llama.llama_memory_clear(memory, DATA_TOO)
        last = len(prompt.tokens) - 1
        self._fill_prompt(prompt.tokens, 0)
        began_s = time.perf_counter()
        self._run(context)
        self._likeliest(context, last)
        first_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        llama.llama_memory_seq_rm(memory, 0, last, -1)
        self._fill([(prompt.tokens[-1], last, 0)])
        self._run(context)
        self._likeliest(context, 0)
        return FirstTokens(first_s, time.perf_counter() - began_s, 0, last)

    def _context(self, streams: int) -> Any:
        if streams not in self.contexts:
            params = llama.llama_context_default_params()
            params.n_ctx = streams * CONTEXT_TOKENS
            params.n_batch = params.n_ubatch = BATCH_TOKENS
            params.n_seq_max = streams
            params.n_threads = params.n_threads_batch = self.threads
            params.flash_attn_type = FLASH_ATTENTION
            params.kv_unified = False  # a cache for each stream: faster than one for all
            self.contexts[streams] = llama.llama_init_from_model(self.model, params)
        return self.contexts[streams]

    def _fill_prompt(self, tokens: Sequence[int], stream: int) -> None:
        self._fill([(token, place, stream) for place, token in enumerate(tokens)])
        for place in range(len(tokens) - 1):
            self.batch.logits[place] = 0

    def _fill(self, items: Sequence[tuple[int, int, int]]) -> None:
        batch = self.batch
        batch.n_tokens = len(items)
        for place, (token, position, stream) in enumerate(items):
            batch.token[place] = token
            batch.pos[place] = position
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = stream
            batch.logits[place] = 1

    def _run(self, context: Any) -> None:
        failed = llama.llama_decode(context, self.batch)
        assert not failed, f"llama_decode returned {failed}"

    def _likeliest(self, context: Any, place: int) -> int:
        logits = llama.llama_get_logits_ith(context, place)
        size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        return int(np.ctypeslib.as_array(logits, shape=(size,)).argmax())


def main() -> None:
    """Be the engine that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("threads", type=int)
    asked = parser.parse_args()
    said: list[str] = []

    def keep(_level: int, text: bytes, _data: Any) -> None:
        said.append(text.decode(errors="replace"))

    callback = llama.llama_log_callback(keep)
    llama.llama_log_set(callback, ctypes.c_void_p(0))
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.n_gpu_layers = 0
    engine = LowLevel(llama.llama_model_load_from_file(asked.gguf.encode(), params), asked.threads)
    buffers = [
        line.split(":")[-1].split() for line in "".join(said).splitlines() if BUFFERS in line
    ]
    held = ", ".join(f"{words[0]} {words[-2]} {words[-1]}" for words in buffers)
    system = " ".join(llama.llama_print_system_info().decode().split())
    about = f"llama-cpp-python {llama.__version__}, batch API; {system} weights: {held}"
    asyncio.run(serve(engine, about))


if __name__ == "__main__":
    main()
