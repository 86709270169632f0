"""The vocabulary of a GGUF: its tokens, how it merges them, which begin and which end an answer."""

from dataclasses import dataclass
from itertools import chain

from rbee_shared.errors import UnimplementedError
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile
from rbee_worker.convert.shape import EMBEDDING

CONTROL, USER_DEFINED = 3, 4  # types of tokens in a GGUF
BYTE_PAIR = "gpt2"
SMOLLM, LLAMA3 = "smollm", "llama-bpe"
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")
END_TOKENS = ("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-pair vocabulary; a token's number is its place. `cut` names how text is cut first.

    `ends` are the tokens that end an answer, `add_bos` says whether a raw prompt starts with `bos`.
    """

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    cut: str
    bos: int | None
    ends: tuple[int, ...]
    add_bos: bool


def vocabulary_of(file: GgufFile) -> Vocabulary:
    """Read the vocabulary of a GGUF.

    Raises:
        UnimplementedError: it is of a kind that is not known here.
        GgufDamagedError: it is missing or does not hold together.
    """
    kind, cut = file.text("tokenizer.ggml.model"), file.text("tokenizer.ggml.pre")
    if kind != BYTE_PAIR:
        raise UnimplementedError(
            f"the tokenizer model `{kind}` cannot be converted yet",
            reason="TOKENIZER_UNSUPPORTED",
            hint=f"`{BYTE_PAIR}` can",
        )
    if cut not in (SMOLLM, LLAMA3):
        raise UnimplementedError(
            f"the pre-tokenizer `{cut}` is not known",
            reason="TOKENIZER_UNSUPPORTED",
            hint=f"`{SMOLLM}` and `{LLAMA3}` are; a guess would give plausible nonsense",
        )
    tokens = file.texts("tokenizer.ggml.tokens")
    types = file.integers("tokenizer.ggml.token_type")
    if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
        raise GgufDamagedError(f"`{file.name}`: the vocabulary does not hold together")
    if len(tokens) > file.shape(EMBEDDING)[0]:
        raise GgufDamagedError(f"`{file.name}` has more tokens than embeddings")
    said = file.value("tokenizer.ggml.add_bos_token")
    return Vocabulary(
        tokens=tuple(tokens),
        types=tuple(types),
        merges=tuple(file.texts("tokenizer.ggml.merges")),
        cut=cut,
        bos=_token(file, "bos_token_id", len(tokens)),
        ends=_ends(file, tokens, types),
        # files of llama 3 mean it and do not say it: who reads them knows
        add_bos=said if isinstance(said, bool) else cut == LLAMA3,
    )


def _ends(file: GgufFile, tokens: list[str], types: list[int]) -> tuple[int, ...]:
    named = (_token(file, key, len(tokens)) for key in END_KEYS)
    numbers = (tokens.index(token) for token in END_TOKENS if token in tokens)
    known = (number for number in numbers if types[number] == CONTROL)
    return tuple(dict.fromkeys(each for each in chain(named, known) if each is not None))


def _token(file: GgufFile, key: str, count: int) -> int | None:
    number = file.value(f"tokenizer.ggml.{key}")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < count:
        raise GgufDamagedError(f"`{file.name}` says `{key}` is {number!r}, which is no token")
    return number
