"""Repositories as the hub lists them, in every layout that is about, and what is chosen of them."""

from pathlib import Path

from rbee_hive.sources.choice import (
    Choice,
)
from rbee_hive.sources.choose import (
    choose,
)
from rbee_hive.sources.listing import ListedFile, Listing
from rbee_shared.references.reference import HubReference, Reference, parse

GGUF = (
    ".gitattributes",
    "README.md",
    "imatrix_unsloth.gguf",
    "mmproj-F16.gguf",
    *(
        f"Tiny-1B-{kind}.gguf"
        for kind in ("IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "Q5_K_S", "Q6_K", "BF16", "F16")
    ),
    "Tiny-1B.Q8_0.gguf",
    "tiny-1b-UD-Q4_K_XL.gguf",
)
CONFIGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
TRANSFORMERS = (
    "README.md",
    "LICENSE",
    "tokenizer.model",
    *CONFIGS,
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model.onnx_data_1",
    "onnx/model_fp16.onnx",
    "onnx/model_fp16.onnx_data",
    "onnx/model_q4.onnx",
    "onnx/model_q4f16.onnx",
    "onnx/model_quantized.onnx",
    "onnx/model_int8.onnx",
    "onnx/model_bnb4.onnx",
)
GENAI_PARTS = ("genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json")
GENAI = (
    "LICENSE",
    "README.md",
    *(
        f"{folder}/{part}"
        for folder in (
            "cuda/cuda-int4-rtn-block-32",
            "cpu_and_mobile/cpu-int4-rtn-block-32",
            "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4",
            "directml/directml-int4-awq-block-128",
        )
        for part in GENAI_PARTS
    ),
)
OURS = ("rbee.json", "model.onnx", "model.onnx.data", "tokenizer.json", "metadata.yaml")


def listing(*paths: str, **sizes: int) -> Listing:
    files = tuple(
        ListedFile(path, sizes.get(Path(path).stem, 100 + number), sha256="0" * 64)
        for number, path in enumerate(dict.fromkeys(paths))
    )
    return Listing("org/repo", "c" * 40, files)


def chosen(paths: tuple[str, ...], choice: str = "") -> Choice:
    return choose(listing(*paths), hub(parse(f"org/repo{choice}", home=Path("/"))))


def hub(reference: Reference) -> HubReference:
    assert isinstance(reference, HubReference)
    return reference


def paths_of(choice: Choice) -> list[str]:
    return [each.file.path for each in choice.files]


def kinds_of(choice: Choice) -> list[str]:
    return [each.quantization for each in choice.candidates]
