"""Which tokens of a GGUF begin a text and which end an answer."""

from collections.abc import Sequence
from itertools import chain

from rbee_worker.convert.gguf import GgufDamagedError, GgufFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of tokens in a GGUF
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")
END_TOKENS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<EOT>",
    "<eos>",
    "</s>",
)


def ends_of(file: GgufFile, tokens: Sequence[str], types: Sequence[int]) -> tuple[int, ...]:
    """Return the tokens that end an answer: those the file names, and control tokens known for it.

    Only control tokens, because the same text may be markup in another vocabulary: in that of
    Gemma, `</s>` ends what is struck through.

    Raises:
        GgufDamagedError: the file names what is no token.
    """
    named = (token_of(file, key, len(tokens)) for key in END_KEYS)
    places = {token: number for number, token in enumerate(tokens) if types[number] == CONTROL}
    known = (places.get(token) for token in END_TOKENS)
    return tuple(dict.fromkeys(each for each in chain(named, known) if each is not None))


def token_of(file: GgufFile, key: str, count: int) -> int | None:
    """Return the token that the file names so; None if it names none.

    Raises:
        GgufDamagedError: it names what is no token.
    """
    number = file.value(f"tokenizer.ggml.{key}")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < count:
        raise GgufDamagedError(f"`{file.name}` says `{key}` is {number!r}, which is no token")
    return number
