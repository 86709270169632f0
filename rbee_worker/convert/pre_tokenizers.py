"""How byte-pair vocabularies cut a text before they merge, by the names that GGUF files give it.

Each name is verified against llama.cpp, which gave the names; what is not here is refused, because
a near miss gives tokens that the model was never trained on, and answers that look almost right.
"""

from dataclasses import dataclass

CONTRACTION = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS_AND_DIGITS = (
    rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}"
)
WORDS_AND_THREE_DIGITS = WORDS_AND_DIGITS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One way to cut. Each of `patterns` cuts what the one before it left, and loses nothing.

    `keeps_tokens`: a piece that is a token is that token, whatever the merges would make of it.
    `adds_bos`: a raw prompt starts with the token of beginning if the file does not say whether.
    """

    patterns: tuple[str, ...]
    keeps_tokens: bool = False
    adds_bos: bool = False


GPT2 = PreTokenizer((WORDS,))
DIGITS_FIRST = PreTokenizer((DIGIT, WORDS))
LLAMA3 = PreTokenizer((WORDS_AND_THREE_DIGITS,), keeps_tokens=True, adds_bos=True)
QWEN2 = PreTokenizer((WORDS_AND_DIGITS,))
SMAUG = PreTokenizer((WORDS_AND_THREE_DIGITS,))

PRE_TOKENIZERS = {
    "gpt-2": GPT2,
    "phi-2": GPT2,
    "smollm": DIGITS_FIRST,
    "starcoder": DIGITS_FIRST,
    "refact": DIGITS_FIRST,
    "command-r": DIGITS_FIRST,
    "llama-bpe": LLAMA3,
    "llama3": LLAMA3,
    "llama-v3": LLAMA3,
    "falcon3": LLAMA3,
    "pixtral": LLAMA3,
    "smaug-bpe": SMAUG,
    "dbrx": SMAUG,
    "qwen2": QWEN2,
    "deepseek-r1-qwen": QWEN2,
    "megrez": QWEN2,
    "stablelm2": QWEN2,
}
