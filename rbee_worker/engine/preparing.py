"""A request as the answers that the engine's thread writes: checked, encoded, constraints compiled.

Takes as long as the prompt and the constraint are long; runs in a thread of its own, away from the
event loop and from the model.
"""

import secrets
import time
from collections.abc import Mapping, Sequence as Items
from pathlib import Path
from typing import Any

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_worker.constraints.constraints import Constraints
from rbee_worker.constraints.matcher import Matcher
from rbee_worker.description import ModelDescription
from rbee_worker.engine.answer import Answer, Asker
from rbee_worker.engine.request import Request
from rbee_worker.engine.sequence import Sequence
from rbee_worker.sampling.row import Row
from rbee_worker.text.stop_strings import StopStrings
from rbee_worker.text.tokenizer import TextTooLongError, Tokenizer
from rbee_worker.tools.call_stream import ToolCallStream
from rbee_worker.tools.offer import constraint_for, for_template
from rbee_worker.tools.tool import ToolMode, check as check_tools

SEED_BITS = 63


class PromptTooLongError(InvalidArgumentError):
    """The prompt does not fit the context; it is never cut."""

    reason = TextTooLongError.reason
    hint = TextTooLongError.hint

    def __init__(self, prompt_tokens: int, max_len: int, what: str = "the prompt") -> None:
        super().__init__(f"{what} has {prompt_tokens} tokens, the context holds {max_len}")


class Preparing:
    """What turns requests into answers, for one model. Blocks; any thread may call.

    Args:
        folder: of the model.
        description: of the model.
    """

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        """Load the tokenizer; takes a moment.

        Raises:
            RbeeError: it cannot be used.
        """
        self._vocab_size = description.vocab_size
        self._eos_token_ids = frozenset(description.eos_token_ids)
        self._tokenizer = Tokenizer(folder, description)
        self._constraints = Constraints(
            self._tokenizer.tokenizer_json,
            vocab_size=description.vocab_size,
            eos_token_ids=description.eos_token_ids,
        )

    def close(self) -> None:
        """End what runs beside."""
        self._constraints.close()
        self._tokenizer.close()

    def texts(self, texts: Items[str], max_len: int) -> list[list[int]]:
        """Return the tokens of texts that are to become vectors.

        Raises:
            InvalidArgumentError: one is empty, or does not fit.
        """
        return [
            self._checked(
                self._tokenizer.encode_text(each, tokens_max=max_len),
                max_len,
                what=f"text {number} of {len(texts)}",
            )
            for number, each in enumerate(texts, 1)
        ]

    def answers(self, request: Request, asker: Asker, max_len: int) -> tuple[Answer, ...]:
        """Return the answers that a request asks for, before any is begun.

        Args:
            request: what is asked.
            asker: who asks.
            max_len: tokens that a row of the cache holds.

        Raises:
            RbeeError: why it cannot be answered; nothing was computed.
        """
        arrived_s = time.monotonic()
        params = request.sampling
        params.check(self._vocab_size)
        check_tools(request.tools, request.tool_choice)
        matcher = self._matcher(request)
        prompt = self._checked(self._prompt(request, max_len), max_len)
        self._check_known(request.begun)
        room = max_len - len(prompt)
        seed = secrets.randbits(SEED_BITS) if params.seed is None else params.seed
        ends = frozenset(params.stop_token_ids)
        if not params.ignore_eos:
            ends |= self._eos_token_ids
        offers = request.tools and request.tool_choice.mode is not ToolMode.NONE
        return tuple(
            Answer(
                asker=asker,
                sequence=Sequence(
                    prompt=prompt,
                    token_count_max=min(room, params.max_tokens or room),
                    arrived_s=arrived_s,
                    priority=request.priority,
                    answer=list(request.begun),
                ),
                index=index,
                seed=seed,
                row=Row(
                    params,
                    seed=seed,
                    vocab_size=self._vocab_size,
                    prompt=prompt,
                    eos_token_ids=self._eos_token_ids,
                    index=index,
                ),
                text=self._tokenizer.stream(prompt),
                stop=StopStrings(params.stop),
                calls=ToolCallStream([each.name for each in request.tools]) if offers else None,
                matcher=matcher and matcher.copy(),
                end_ids=ends,
                token_bytes=self._tokenizer.token_bytes,
            )
            for index in range(params.n)
        )

    def _prompt(self, request: Request, max_len: int) -> list[int]:
        if request.prompt is not None:
            return self._tokenizer.encode_text(request.prompt, tokens_max=max_len)
        offered = () if request.tool_choice.mode is ToolMode.NONE else request.tools
        if offered and not self._tokenizer.knows_tools:
            narrate(
                "tools_untold",
                "the model's chat template knows no tools: the model is not told of them",
                level=Level.WARN,
                cute="this bee was never shown tools: it is not told of them",
                story='"Tools? Nobody told me of tools", says the model',
            )
        tools: list[Mapping[str, Any]] = [*for_template(offered)]
        return self._tokenizer.encode_conversation(
            request.messages, tools=tools, tokens_max=max_len
        )

    def _checked(self, tokens: list[int], max_len: int, *, what: str = "the prompt") -> list[int]:
        if not tokens:
            raise InvalidArgumentError(f"{what} is empty", reason="PROMPT_EMPTY")
        if len(tokens) >= max_len:
            raise PromptTooLongError(len(tokens), max_len, what)
        self._check_known(tokens)
        return tokens

    def _check_known(self, tokens: Items[int]) -> None:
        if tokens and not 0 <= min(tokens) <= max(tokens) < self._vocab_size:
            raise InvalidArgumentError(
                "the prompt has a token that the model does not know", reason="TOKEN_UNKNOWN"
            )

    def _matcher(self, request: Request) -> Matcher | None:
        asked = request.constraint or constraint_for(request.tools, request.tool_choice)
        return None if asked is None else self._constraints.compile(asked)
