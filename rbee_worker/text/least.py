"""The least number of tokens that a text can have, by its length: what cannot fit is known at once.

A tokenizer may drop text: trim it, or take any number of unknown letters for one token. Only of
those that keep all bytes, or are known to drop some, can anything be said; they are nearly all.
"""

import json
import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from rbee_worker.text.token_text import BYTES

KEEPING = {"ByteLevel", "Digits", "Metaspace", "Prepend", "Replace", "Sequence", "Split"}
LETTERS = re.compile(r"\[[^\]\^-]+\]")  # a set of letters, of the kind that our converter writes
BYTE_TOKENS = {f"<0x{byte:02X}>" for byte in range(256)}


@dataclass(frozen=True, slots=True)
class Least:
    """What one token can stand for. `dropped`: bytes that may have no token.

    `token_bytes_max` 0: any text at all.
    """

    token_bytes_max: int
    dropped: bytes = b""

    def tokens(self, text: str) -> int:
        """Return how many tokens the text has at least."""
        if not self.token_bytes_max:
            return 0
        kept = text.encode(errors="replace").translate(None, self.dropped)
        return -(-len(kept) // self.token_bytes_max)


def least_of(tokenizer: Any) -> Least:
    """Return what one token of the tokenizer can stand for. Looks through the vocabulary."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    steps = [*_steps(tokenizer.normalizer), *_steps(tokenizer.pre_tokenizer)]
    is_byte_level = any(step["type"] == "ByteLevel" for step in steps)
    lost = BYTES.keys() - vocabulary.keys() if is_byte_level else set[str]()
    added = tokenizer.get_added_tokens_decoder().values()
    keeps = all(_keeps(step, lost) for step in steps)
    if not keeps or not vocabulary or any(each.lstrip or each.rstrip for each in added):
        return Least(0)
    if is_byte_level:  # there a letter is a byte
        longest = max([*map(len, vocabulary), *(len(each.content.encode()) for each in added)])
        return Least(longest, bytes(BYTES[letter] for letter in lost))
    longest = max(len(text.encode()) for text in vocabulary)
    return Least(longest if vocabulary.keys() >= BYTE_TOKENS else 0)


def _steps(part: Any) -> list[dict[str, Any]]:
    if part is None:
        return []
    step: dict[str, Any] = json.loads(part.__getstate__())
    return _flat(step)


def _flat(step: dict[str, Any]) -> list[dict[str, Any]]:
    inner: list[dict[str, Any]] = step.get("normalizers") or step.get("pretokenizers") or []
    return [step, *(each for one in inner for each in _flat(one))]


def _keeps(step: dict[str, Any], lost: Set[str]) -> bool:
    match step:
        case {"type": "Replace", "pattern": {"String": str(taken)}, "content": str(given)}:
            return len(taken.encode()) <= len(given.encode())
        case {"type": "Split", "behavior": "Removed", "pattern": {"Regex": str(pattern)}}:
            return bool(LETTERS.fullmatch(pattern)) and set(pattern[1:-1]) - {"\\"} <= lost
        case {"type": "Replace"} | {"behavior": "Removed"}:
            return False
        case _:
            return step["type"] in KEEPING
