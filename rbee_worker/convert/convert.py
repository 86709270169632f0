"""From one GGUF file to a folder that a worker loads. `rbee.json` comes last: then it is whole."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rbee_shared.errors import FailedPreconditionError, RbeeError, ResourceExhaustedError
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate
from rbee_worker.convert.calibrate import cache_scales
from rbee_worker.convert.calibration_text import calibration_tokens
from rbee_worker.convert.decoder import Decoder
from rbee_worker.convert.forms import Precision, has_int8_cache, quantization
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.graph import DATA_FILE, Graph
from rbee_worker.convert.int8_cache import with_int8_cache
from rbee_worker.convert.shape import Shape, shape_of
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import Vocabulary, vocabulary_of
from rbee_worker.description import ModelDescription

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
MATRIX_RANK = 2


def convert(source: Path, folder: Path, precision: Precision = Precision.INT8) -> ModelDescription:
    """Convert the GGUF `source` into the new folder `folder`.

    Args:
        source: the file.
        folder: one that does not exist or is empty.
        precision: how near the weights are to be to the file's.

    Raises:
        NotFoundError: there is no such file.
        GgufDamagedError: the file is no whole GGUF.
        UnimplementedError: its architecture, tokenizer or shape is not known here.
        FailedPreconditionError: the file cannot be read; the folder holds something already, or
            cannot be written.
        ResourceExhaustedError: the disk is full.
        NotFiniteError: what it computes is no number.
        CalibrationError: it cannot be run here.
    """
    file = GgufFile(source)
    shape, vocabulary = shape_of(file), vocabulary_of(file)
    tokenizer = to_json(vocabulary)
    name = file.text("general.name") or source.stem
    description = _described(file, shape, vocabulary, precision, name)
    try:
        _make_empty(folder)
        model = _write_weights(file, shape, precision, folder, name)
        if has_int8_cache(precision):
            tokens = calibration_tokens(tokenizer, vocabulary, shape.context)
            scales = cache_scales(folder, model, shape, tokens, name=name)
            model = with_int8_cache(model, scales)
        with _written(folder / MODEL_FILE) as opened:
            opened.write(model)
        with _written(folder / TOKENIZER_FILE) as opened:
            opened.write(tokenizer.encode())
        description.write(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return description


def _make_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FailedPreconditionError(
            f"the folder `{folder.name}` is not empty",
            reason="FOLDER_NOT_EMPTY",
            hint="name a new one; a model is never written over another",
        )


def _write_weights(
    file: GgufFile, shape: Shape, precision: Precision, folder: Path, name: str
) -> bytes:
    def told(done: int, total: int) -> None:
        narrate(
            "model_convert",
            "converting layer {layer} of {layers}",
            target=name,
            progress=Progress(done, total, "steps"),
            model=name,
            layer=done,
            layers=total,
            cute="filling comb {layer} of {layers} with honey",
            story='"Layer {layer} of {layers}", counts the hive',
        )

    with _written(folder / DATA_FILE) as data:
        graph = Graph(data)
        Decoder(file, shape, graph, precision).build(told)
    return graph.serialized()


@contextmanager
def _written(path: Path) -> Generator[BinaryIO]:
    # on the disk before `rbee.json` is, so that a power cut leaves no model that looks whole
    with path.open("xb") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())


def _unwritable(folder: Path, error: OSError) -> RbeeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhaustedError(
            "the disk ran full while the model was written",
            reason="DISK_FULL",
            hint="a model needs 1.2 bytes a parameter, as float32 4.1: use another folder",
        )
    return FailedPreconditionError(
        f"the folder `{folder.name}` cannot be written: {error.strerror}",
        reason="FOLDER_UNWRITABLE",
        hint="name a folder that this user may write",
    )


def _described(
    file: GgufFile, shape: Shape, vocabulary: Vocabulary, precision: Precision, name: str
) -> ModelDescription:
    matrices = (each for each in file.tensor_names if len(file.shape(each)) == MATRIX_RANK)
    return ModelDescription(
        name=name,
        architecture=file.architecture,
        quantization=quantization((file.kind(each) for each in matrices), precision),
        licence=file.text("general.license"),
        parameters=file.parameter_count(),
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        hidden_size=shape.hidden,
        vocab_size=shape.vocabulary,
        context_length=shape.context,
        bos_token_id=vocabulary.bos,
        eos_token_ids=vocabulary.ends,
        add_bos=vocabulary.add_bos,
        chat_template=file.text("tokenizer.chat_template") or None,
        kv_value_bytes=1 if has_int8_cache(precision) else 4,
    )
