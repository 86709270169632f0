"""An engine that computes nothing: how the benchmark talks to the processes that it measures."""

import asyncio
import sys
from collections.abc import Sequence

from bench.engine.exchange import Decoded, FirstTokens, Prompt, serve


class Echo:
    """Answers each prompt with its own tokens; dies of a prompt without any."""

    async def decode(self, prompts: Sequence[Prompt], count: int) -> Decoded:
        """Answer all prompts."""
        sys.stdout.write("what a library says\n")
        sys.stdout.flush()
        return Decoded(float(count), is_at_once=True, answers=[each.tokens for each in prompts])

    async def first_tokens(self, prompt: Prompt) -> FirstTokens:
        """Say how long a prompt is, and how long its text."""
        if not prompt.tokens:
            sys.exit(3)
        return FirstTokens(2.0, 1.0, len(prompt.text), len(prompt.tokens))


if __name__ == "__main__":
    asyncio.run(serve(Echo(), "an echo"))
