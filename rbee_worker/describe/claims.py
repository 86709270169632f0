"""What a folder of the hub says of its model, in the words of its layout.

`genai_config.json` makes a folder of onnxruntime-genai, `config.json` with graphs in `onnx/` one of
transformers.js.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.describe.settings import Settings
from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts.signature import LayoutUnsupportedError

GENAI_FILE, CONFIG_FILE = "genai_config.json", "config.json"
GENERATION_FILE = "generation_config.json"
GENAI_GRAPH = "model.onnx"
GRAPHS_SHOWN_MAX = 8
PARTS = ("encoder", "vision", "speech", "embedding")  # of models that do more than speak

# by our name, and the names that models' own files have for it
GENAI_COUNTS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_size",
    "hidden_size": "hidden_size",
}
CONFIG_COUNTS = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim",),
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "vocab_size": ("vocab_size",),
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len"),
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What the files say. `counts` by the names of `ModelDescription`, as far as they are said.

    `is_tied` says that the embedding is the head; `tokens` are the files that say which tokens
    begin and end, the most telling first.
    """

    layout: str
    graph: str
    file: str
    architecture: str
    counts: Mapping[str, int]
    is_tied: bool
    tokens: tuple[Settings, ...]


def claims_of(folder: Path, graph: str | None) -> Claims:
    """Read what the folder says; `graph` is the path of the one that is meant, if it was named.

    Raises:
        LayoutUnsupportedError: the folder is of no layout that is known here.
        InvalidArgumentError: it holds several graphs and none was named.
        ModelDamagedError: a file is malformed.
        OutsideFolderError: a file is a link that leads out of the folder.
    """
    genai, config = Settings.read(folder, GENAI_FILE), Settings.read(folder, CONFIG_FILE)
    if genai:
        return _genai_claims(genai, graph)
    if not config:
        raise _unsupported(f"has neither `{GENAI_FILE}` nor `{CONFIG_FILE}`")
    if config.value("is_encoder_decoder") is True:
        raise _unsupported("has an encoder")
    counts = {name: config.count(*keys) for name, keys in CONFIG_COUNTS.items()}
    return Claims(
        layout="transformers",
        graph=graph or _only_graph(folder),
        file=CONFIG_FILE,
        architecture=config.text("model_type") or "unknown",
        counts={name: count for name, count in counts.items() if count is not None},
        is_tied=config.value("tie_word_embeddings") is True,
        tokens=(Settings.read(folder, GENERATION_FILE), config),
    )


def _genai_claims(genai: Settings, graph: str | None) -> Claims:
    model = genai.section("model")
    decoder = model.section("decoder")
    for part in PARTS:
        if model.section(part):
            raise _unsupported(f"has the part `{part}` besides its decoder")
    if not decoder or "pipeline" in decoder:
        raise ModelDamagedError(f"`{GENAI_FILE}` of the model names no single decoder")
    counts = {name: decoder.count(key) for name, key in GENAI_COUNTS.items()}
    counts["vocab_size"] = model.count("vocab_size")
    counts["context_length"] = model.count("context_length")
    return Claims(
        layout="genai",
        graph=graph or decoder.text("filename") or GENAI_GRAPH,
        file=GENAI_FILE,
        architecture=model.text("type") or "unknown",
        counts={name: count for name, count in counts.items() if count is not None},
        is_tied=False,  # not said in this layout
        tokens=(model,),
    )


def _only_graph(folder: Path) -> str:
    found = sorted(each.relative_to(folder).as_posix() for each in folder.glob("onnx/*.onnx"))
    if not found:
        raise _unsupported("has no graph in `onnx/`")
    if len(found) > 1:
        shown = ", ".join(f"`{name}`" for name in found[:GRAPHS_SHOWN_MAX])
        raise InvalidArgumentError(
            f"the model has {len(found)} graphs: {shown}",
            reason="MODEL_FILE_AMBIGUOUS",
            hint="name one of them",
        )
    return found[0]


def _unsupported(what: str) -> LayoutUnsupportedError:
    return LayoutUnsupportedError(f"the model {what}")
