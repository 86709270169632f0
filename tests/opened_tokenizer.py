"""The tokenizer of a tiny model, with a template of one's own."""

from pathlib import Path
from typing import Any

from rbee_worker.convert.gguf import GgufFile
from rbee_worker.convert.tokenizer import to_json
from rbee_worker.convert.vocabulary import vocabulary_of
from rbee_worker.description import ModelDescription
from rbee_worker.text.tokenizer import TOKENIZER_FILE, Tokenizer


def opened(source: Path, template: str | None) -> Tokenizer:
    """Return the tokenizer of the model in a file, which gets a folder's files beside it."""
    found = vocabulary_of(GgufFile(source))
    (source.parent / TOKENIZER_FILE).write_text(to_json(found), encoding="utf-8")
    description: dict[str, Any] = dict.fromkeys(ModelDescription.__dataclass_fields__, 1)
    description |= {
        "bos_token_id": found.bos,
        "eos_token_ids": found.ends,
        "add_bos": found.add_bos,
        "chat_template": template,
    }
    return Tokenizer(source.parent, ModelDescription(**description))


def text_of(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """Return what the tokens write as an answer."""
    stream = tokenizer.stream()
    return "".join(map(stream.push, tokens)) + stream.flush()
