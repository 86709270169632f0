"""From a folder of the hub to one that a worker loads: `rbee.json` is added, nothing is changed.

Where the folder's files and its graph disagree, the model is refused: one of them is not the one
that was meant. `rbee.json` comes last, so a folder that has it was found whole.
"""

from collections.abc import Mapping
from pathlib import Path

from rbee_shared.errors import FailedPreconditionError
from rbee_shared.narration.narrate import narrate
from rbee_worker.describe.claims import Claims, claims_of
from rbee_worker.describe.facts import heads_of, positions_of, weights_of
from rbee_worker.describe.vocabulary import vocabulary_of
from rbee_worker.description import ModelDamagedError, ModelDescription
from rbee_worker.layouts.confined import check_confined
from rbee_worker.layouts.graph_file import GraphFile
from rbee_worker.layouts.signature import Signature, Style, signature_of
from rbee_worker.text.tokenizer import Tokenizer

VALUE_BYTES = {"float32": 4, "float16": 2}


def describe(
    folder: Path, *, graph: str | None = None, name: str = "", licence: str = "", source: str = ""
) -> ModelDescription:
    """Describe the model in `folder`, in the layout of onnxruntime-genai or transformers.js.

    Args:
        folder: with the model's files.
        graph: path of the graph within; None where there is only one.
        name: what people call the model; empty for its source's or folder's.
        licence: its identifier; empty if nobody said.
        source: where it is from, for what is told.

    Raises:
        UnimplementedError: the model is of a form that is not known here.
        InvalidArgumentError: it holds several graphs and none was named.
        ModelDamagedError: a file is missing, malformed, or disagrees with another.
        OutsideFolderError: a file would lie outside the folder.
        GraphTooLargeError: the graph is larger than any that is known.
        ChatTemplateError: its template cannot be used.
        FailedPreconditionError: the folder cannot be written.
    """
    name = name or source or folder.resolve().name
    narrate(
        "model_describe",
        "reading what the model {model} is made of",
        target=name,
        model=name,
        cute="sniffing at the honey of {model}",
        story='"What are you made of?", the bee asks {model}',
    )
    claims = claims_of(folder, graph)
    parsed = GraphFile.read(folder, claims.graph)
    check_confined(folder, parsed)
    signature = signature_of(parsed)
    if signature.style is Style.OWN:
        raise ModelDamagedError(f"`{claims.graph}` is not of the layout that the folder has")
    counts = _counts(claims, signature, parsed)
    vocabulary = vocabulary_of(folder, claims.tokens, counts["vocab_size"])
    embedding_count = counts["vocab_size"] * counts["hidden_size"]
    weights = weights_of(parsed, signature, embedding_count if claims.is_tied else 0)
    description = ModelDescription(
        name=name,
        architecture=claims.architecture,
        quantization=weights.quantization,
        licence=licence,
        parameters=weights.parameters,
        layers=counts["layers"],
        heads=counts["heads"],
        kv_heads=counts["kv_heads"],
        head_dim=counts["head_dim"],
        hidden_size=counts["hidden_size"],
        vocab_size=counts["vocab_size"],
        context_length=counts["context_length"],
        bos_token_id=vocabulary.bos,
        eos_token_ids=vocabulary.ends,
        add_bos=vocabulary.add_bos,
        chat_template=vocabulary.chat_template,
        layout=claims.layout,
        graph=claims.graph,
        kv_value_bytes=VALUE_BYTES[signature.cache_kind],
    )
    Tokenizer(folder, description)  # a worker must be able to use it
    _write(folder, description)
    return description


def _counts(claims: Claims, signature: Signature, graph: GraphFile) -> Mapping[str, int]:
    facts = {
        "layers": signature.layers,
        "heads": heads_of(graph),
        "kv_heads": signature.kv_heads,
        "head_dim": signature.head_dim,
        "vocab_size": signature.vocab_size,
    }
    found = {key: fact for key, fact in facts.items() if fact is not None}
    for key, fact in found.items():
        if claims.counts.get(key, fact) != fact:
            said = claims.counts[key]
            raise ModelDamagedError(
                f"`{claims.file}` says {key} {said}, the graph has {fact}",
                hint="files of different models were mixed: pull the model again",
            )
    counts = {**claims.counts, **found}
    if "heads" in counts:
        counts.setdefault("kv_heads", counts["heads"])
        counts.setdefault("head_dim", counts.get("hidden_size", 0) // counts["heads"])
    for key in ("heads", "hidden_size", "vocab_size", "context_length"):
        if key not in counts:
            raise ModelDamagedError(f"`{claims.file}` of the model does not say its {key}")
    positions = positions_of(graph) or counts["context_length"]
    return {**counts, "context_length": min(positions, counts["context_length"])}


def _write(folder: Path, description: ModelDescription) -> None:
    try:
        description.write(folder)
    except OSError as error:
        raise FailedPreconditionError(
            f"the folder `{folder.name}` cannot be written: {error.strerror}",
            reason="FOLDER_UNWRITABLE",
            hint="name a folder that this user may write, on a disk with room",
        ) from error
