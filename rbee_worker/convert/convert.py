"""From one GGUF file to a folder that a worker loads. `rbee.json` comes last: then it is whole."""

from pathlib import Path

from rbee_shared.errors import FailedPreconditionError, UnimplementedError
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate
from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.llama import Llama
from rbee_worker.convert.tokenizer import tokenizer_of
from rbee_worker.description import ModelDescription

TOKENIZER_FILE = "tokenizer.json"
QUANTIZATION = "int8-block32"
END_TOKENS = ("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>")


def convert(source: Path, folder: Path) -> ModelDescription:
    """Convert the GGUF `source` into the new folder `folder`.

    Raises:
        GgufDamagedError: the file is no whole GGUF.
        UnimplementedError: its architecture, tokenizer or shape is not known here.
        FailedPreconditionError: the folder holds something already.
    """
    file = GgufFile(source)
    if file.architecture != "llama":
        raise UnimplementedError(
            f"the architecture `{file.architecture}` cannot be converted yet",
            reason="ARCHITECTURE_UNSUPPORTED",
            hint="`llama` can",
        )
    tokenizer = tokenizer_of(file)
    _make_empty(folder)
    name = file.text("general.name") or source.stem
    model = Llama(file, folder)

    def told(done: int, total: int) -> None:
        narrate(
            "model_convert",
            "converting {model}: layer {done} of {total}",
            target=name,
            progress=Progress(done, total, "steps"),
            model=name,
            done=done,
            total=total,
        )

    model.write(told)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    description = _describe(file, model, name, tokenizer.get_vocab())
    description.write(folder)
    return description


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise FailedPreconditionError(f"cannot make `{folder}`: {error.strerror}") from error
    if taken:
        raise FailedPreconditionError(
            f"the folder `{folder}` is not empty", reason="FOLDER_NOT_EMPTY"
        )


def _describe(
    file: GgufFile, model: Llama, name: str, vocabulary: dict[str, int]
) -> ModelDescription:
    shape = model.shape
    own = file.value("tokenizer.ggml.eos_token_id")
    ends = [vocabulary[token] for token in END_TOKENS if token in vocabulary]
    eos: dict[int, None] = dict.fromkeys([own, *ends] if isinstance(own, int) else ends)
    bos = file.value("tokenizer.ggml.bos_token_id")
    return ModelDescription(
        name=name,
        architecture=file.architecture,
        quantization=QUANTIZATION,
        licence=file.text("general.license"),
        parameters=file.parameter_count(),
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        hidden_size=shape.hidden,
        vocab_size=shape.vocabulary,
        context_length=shape.context,
        bos_token_id=bos if isinstance(bos, int) else None,
        eos_token_ids=tuple(eos),
        add_bos=bool(file.value("tokenizer.ggml.add_bos_token")),
        chat_template=file.text("tokenizer.chat_template") or None,
    )
