"""What quantisations are called: by GGUF files, by the graphs of transformers.js, by people. Pure.

GGUF kinds are written in capitals (`Q4_K_M`), the others in small letters (`q4`, `fp16`); one that
has two names in use goes by one of them, so that two ways to ask for it are one.
"""

import re

QUANTIZATION_LENGTH_MAX = 32
BASE = "fp32"  # of a graph whose name says nothing
GGUF_ORDER = (
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_1",
    "Q5_0",
    "Q4_K_M",
    "Q4_1",
    "Q4_K_S",
    "Q4_0",
    "BF16",
    "F16",
    "F32",
)
GGUF_KEPT = ("Q8_0", "Q4_1", "Q4_0")  # can be kept bit by bit
GGUF_FLOATS = ("F32", "BF16", "F16")
GRAPH_ORDER = ("q8", "int8", "uint8", "q4", BASE, "bnb4", "fp16", "q4f16")

_WORD = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{QUANTIZATION_LENGTH_MAX - 1}}}")
_KIND = (
    r"(?:UD[-_])?(?:I?Q[1-8]_K(?:_(?:XXS|XS|XL|S|M|L))?|IQ[1-8]_(?:XXS|XS|XL|NL|S|M)"
    r"|Q[1-8](?:_[0-9]){1,3}|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32)"
)
_GGUF = re.compile(_KIND, re.IGNORECASE)
_IN_NAME = re.compile(rf"(?<![A-Za-z0-9])({_KIND})(?![A-Za-z0-9])", re.IGNORECASE)
_FLOATS = {"FP16": "F16", "FP32": "F32"}
_GRAPHS = {"quantized": "q8", "": BASE, "f16": "fp16", "f32": BASE}


def is_quantization(word: str) -> bool:
    """Say whether the word could be the name of a quantisation at all."""
    return bool(_WORD.fullmatch(word))


def normalized(word: str) -> str:
    """Return the one way to write what a person asked for."""
    if word.lower() in {"fp16", "fp32"} or not _GGUF.fullmatch(word):
        return graph_kind(word)
    return gguf_kind(word)


def gguf_kind(word: str) -> str:
    """Return the word as GGUF files are called by it."""
    upper = re.sub(r"^UD_", "UD-", word.upper())
    return _FLOATS.get(upper, upper)


def graph_kind(word: str) -> str:
    """Return the word as the graphs of transformers.js are called by it."""
    return _GRAPHS.get(word.lower(), word.lower())


def kind_in_name(name: str) -> str:
    """Return the quantisation that the name of a GGUF file tells last; empty if none."""
    found = _IN_NAME.findall(name)
    return gguf_kind(found[-1]) if found else ""
