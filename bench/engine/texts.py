"""The prompts: text that asks to be repeated, questions, and plain text of any length.

Each round has prompts of its own, so that no cache knows them from the round before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers as untyped_tokenizers

from bench.engine.exchange import Prompt
from bench.process import ROOT
from rbee_worker.description import ModelDescription
from rbee_worker.text.tokenizer import TOKENIZER_FILE, Tokenizer

library: Any = untyped_tokenizers

STRIDE_WORDS = 7
NEEDLE_TOKENS = 2
SYSTEM = "You are a careful assistant. Today is day {number} of the fair, and it rains a little."
FERRY = (
    "The ferry to Brill leaves at nine past six, carries forty crates of pears and two goats, and"
    " is never late. Old Maren, who keeps the lamp, waves a green flag when it turns the point,"
    " then walks home to feed her geese."
)
KEYS = (
    "Three keys hang by the cellar door. The brass one opens the granary, the iron one opens the"
    " gate to the orchard, and the smallest, which nobody has used since the flood, opens a chest"
    " of maps that the miller won from a sailor at cards."
)
CODE = """def area(width, height):
    if width < 0 or height < 0:
        raise ValueError('a side is negative')
    return width * height


def volume(width, height, depth):
    return area(width, height) * depth
"""
COPIED = (FERRY, KEYS, CODE)
QUESTIONS = (
    "Tell me a story about a lighthouse keeper who finds a strange letter in a bottle.",
    "What should I look for when I buy a used bicycle for a child of nine years?",
    "Explain how a steam engine works, and why it needs so much water on a long way.",
    "Write a letter to a friend about a week in the mountains with an old dog.",
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Prompts for one model."""

    tokenizer: Tokenizer
    decoder: Any

    @classmethod
    def of(cls, folder: Path) -> "Texts":
        """Return them for the model in a folder."""
        decoder = library.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        return cls(Tokenizer(folder, ModelDescription.read(folder)), decoder)

    def repeating(self, number: int) -> Prompt:
        """Return a task whose answer is a text of the prompt."""
        copied = COPIED[number % len(COPIED)]
        return self._asked(f"Repeat the following text exactly:\n\n{copied}", number)

    def other(self, number: int) -> Prompt:
        """Return a question."""
        return self._asked(QUESTIONS[number % len(QUESTIONS)], number)

    def plain(self, length: int, number: int) -> Prompt:
        """Return text of exactly so many tokens, another one for each number."""
        words = (ROOT / "LICENSE").read_text().split()
        for begin in range(number * STRIDE_WORDS, len(words) + number * STRIDE_WORDS):
            turned = begin % len(words)
            shown = [f"{number}:", *words[turned:], *words[:turned]]
            text = " ".join(shown[:length])  # a word has a token at least
            tokens = self.tokenizer.encode_text(text)[:length]
            prompt = Prompt(self._text_of(tokens), tokens)
            if len(tokens) == length and self.tokenizer.encode_text(prompt.text) == tokens:
                return prompt
        raise AssertionError(f"no text of {length} tokens")

    def _asked(self, question: str, number: int) -> Prompt:
        messages = [
            {"role": "system", "content": SYSTEM.format(number=number)},
            {"role": "user", "content": question},
        ]
        tokens = self.tokenizer.encode_conversation(messages)
        prompt = Prompt(self._text_of(tokens), tokens)
        assert self.tokenizer.encode_text(prompt.text) == tokens
        return prompt

    def _text_of(self, tokens: Sequence[int]) -> str:
        return self.decoder.decode(list(tokens), skip_special_tokens=False)


def repeated_share(prompt: Sequence[int], answer: Sequence[int]) -> float:
    """Return the share of an answer that a look at what came before would have guessed.

    A token is guessed if the two before it were there before, with it after their last place.
    """
    tokens = [*prompt, *answer]
    followers: dict[tuple[int, ...], int] = {}
    guessed = 0
    for place in range(NEEDLE_TOKENS, len(tokens)):
        needle = tuple(tokens[place - NEEDLE_TOKENS : place])
        if place >= len(prompt):
            guessed += followers.get(needle) == tokens[place]
        followers[needle] = tokens[place]
    return guessed / len(answer)
