"""Reading a stream of responses: peer errors as ours, a limit on silence, and a closed call."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from rbee_shared.errors import UnavailableError
from rbee_shared.limits import SILENCE_S_MAX
from rbee_shared.rpc.errors import rpc_errors


async def responses(
    call: Any, peer: str, *, silence_s: float = SILENCE_S_MAX
) -> AsyncGenerator[Any]:
    """Yield the responses of a server-streaming call; leaving the loop cancels it.

    Args:
        call: a `UnaryStreamCall`; its peer says something at least each `BOOKMARK_S`.
        peer: who that is, for people.
        silence_s: a longer silence ends the call.

    Raises:
        RbeeError: what the peer meant.
        UnavailableError: it cannot be reached, or was silent for too long.
    """
    reader = aiter(call)
    try:
        async with rpc_errors(peer):
            while True:
                try:
                    async with asyncio.timeout(silence_s):
                        response = await anext(reader)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise UnavailableError(f"{peer} said nothing for {silence_s:g} s") from None
                yield response
    finally:
        call.cancel()  # leaving the loop alone would leave the call open
