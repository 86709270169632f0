"""Folders of ONNX Runtime GenAI in a repository, best first, and why. Pure.

A repository often has one folder for each kind of device. Those for CPUs run everywhere; the others
hold 16-bit weights or operators that only their device has.
"""

import re
from collections.abc import Iterator, Sequence

from rbee_hive.sources.choice import ChosenFile, Layout, Option
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_shared.references.quantization import normalized

CONFIG = "genai_config.json"
TOKENIZER = "tokenizer.json"
GRAPH_SUFFIX = ".onnx"
CPU = "cpu"
OTHER_DEVICES = (
    "cuda",
    "gpu",
    "directml",
    "dml",
    "webgpu",
    "tensorrt",
    "trtrtx",
    "migraphx",
    "openvino",
    "qnn",
    "vitisai",
    "npu",
)
FAST_PRODUCTS = "acc-level-4"  # int8 activations: without them a CPU is an order slower

_WORDS = re.compile(r"[^a-z0-9]+")
_KINDS = ("int4", "int8", "fp16", "bf16", "fp32")
_OTHER_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack")


def options(listing: Listing) -> Iterator[Option]:
    """Yield the folders with `genai_config.json` as options."""
    licences = [ChosenFile(each, "the licence") for each in listing.licences()]
    for folder, files in listing.by_folder().items():
        config = next((each for each in files if each.name == CONFIG), None)
        if config is not None:
            yield _option(folder or listing.repo.partition("/")[2], config, files, licences)


def _option(
    name: str, config: ListedFile, files: Sequence[ListedFile], licences: Sequence[ChosenFile]
) -> Option:
    words = _WORDS.split(name.lower())
    kind = next((each for each in _KINDS if each in words), "")
    device = _device_of(words)
    chosen = [ChosenFile(each, "a part of the model") for each in files if _is_part(each)]
    if config.folder:  # at the top they are among its files
        chosen += licences
    is_fast = FAST_PRODUCTS in name.lower()
    return Option(
        Layout.GENAI,
        config,
        tuple(chosen),
        rank=(_rank_of(device), 0 if is_fast else 1),
        reason=_why(device, is_fast=is_fast),
        quantization=kind,
        names=frozenset({kind, normalized(kind)}) if kind else frozenset(),
        lacks=_lacks(files),
    )


def _is_part(file: ListedFile) -> bool:
    return not file.name.startswith(".") and not file.name.lower().endswith(_OTHER_WEIGHTS)


def _lacks(files: Sequence[ListedFile]) -> tuple[str, ...]:
    has_graph = any(each.name.lower().endswith(GRAPH_SUFFIX) for each in files)
    has_tokenizer = any(each.name == TOKENIZER for each in files)
    lacks = (("*.onnx", has_graph), (TOKENIZER, has_tokenizer))
    return tuple(name for name, is_there in lacks if not is_there)


def _device_of(words: Sequence[str]) -> str:
    if CPU in words:
        return CPU
    return next((each for each in OTHER_DEVICES if each in words), "")


def _rank_of(device: str) -> int:
    if device == CPU:
        return 0
    return 2 + OTHER_DEVICES.index(device) if device else 1


def _why(device: str, *, is_fast: bool) -> str:
    if device == CPU:
        return "made for CPUs" + (", and computes with 8 bits there" if is_fast else "")
    return f"made for {device}" if device else "made for no device in particular"
