"""Which tokens begin and end an answer, and how a conversation is written, by a folder's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tokenizers as untyped_tokenizers

from rbee_shared.errors import UnimplementedError
from rbee_worker.describe.settings import Settings, text_of
from rbee_worker.description import ModelDamagedError
from rbee_worker.layouts.folder import file_in
from rbee_worker.text.tokenizer import TOKENIZER_FILE

library: Any = untyped_tokenizers

CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_BYTES_MAX = 256 * 1024 * 1024
PROBE = "a"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`ends` are the tokens that end an answer; with `add_bos` a raw prompt starts with `bos`."""

    bos: int | None
    ends: tuple[int, ...]
    add_bos: bool
    chat_template: str | None


def vocabulary_of(folder: Path, configs: tuple[Settings, ...], size: int) -> Vocabulary:
    """Read the vocabulary of a folder; blocks for a second.

    Args:
        folder: of the model.
        configs: files that may say `bos_token_id` and `eos_token_id`.
        size: how many tokens the graph knows.

    Raises:
        UnimplementedError: there is no `tokenizer.json`.
        ModelDamagedError: a file is malformed, or the graph does not know all the tokens.
        OutsideFolderError: a file is a link that leads out of the folder.
    """
    tokenizer = _loaded(folder)
    config = Settings.read(folder, CONFIG_FILE)
    numbers: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    begins = [token for each in configs for token in each.tokens("bos_token_id")]
    ends = [token for each in configs for token in each.tokens("eos_token_id")]
    if (eos := numbers.get(_token_text(config, "eos_token"))) is not None:
        ends.insert(0, eos)
    if "bos_token" in config:  # templates and tokenizers go by it, whatever else is said
        bos = numbers.get(_token_text(config, "bos_token"))
    else:
        bos = next(iter(begins), None)
    if not ends:
        raise ModelDamagedError("no file of the model says which token ends an answer")
    last = max(numbers.values(), default=0)
    if max(last, bos or 0, *ends) >= size:
        raise ModelDamagedError(f"the tokens of the model are more than the {size} of its graph")
    said = config.value("add_bos_token")
    return Vocabulary(
        bos=bos,
        ends=tuple(dict.fromkeys(ends)),
        add_bos=said if isinstance(said, bool) else _adds(tokenizer, bos),
        chat_template=text_of(folder, TEMPLATE_FILE) or _template(config),
    )


def _loaded(folder: Path) -> Any:
    if not (folder / TOKENIZER_FILE).exists():
        raise UnimplementedError(
            f"the model has no `{TOKENIZER_FILE}`",
            reason="TOKENIZER_UNSUPPORTED",
            hint="other forms of tokenizers are not read",
        )
    path = file_in(folder, folder, TOKENIZER_FILE)
    if path.stat().st_size > TOKENIZER_BYTES_MAX:
        raise ModelDamagedError(f"`{TOKENIZER_FILE}` has more than {TOKENIZER_BYTES_MAX} bytes")
    try:
        return library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelDamagedError(f"`{TOKENIZER_FILE}` of the model cannot be read") from error


def _token_text(config: Settings, key: str) -> str:
    found = config.value(key)
    if isinstance(found, dict):
        found = cast("dict[str, Any]", found).get("content")
    return found if isinstance(found, str) else ""


def _adds(tokenizer: Any, bos: int | None) -> bool:
    with_specials = tokenizer.encode(PROBE, add_special_tokens=True).ids
    plain = tokenizer.encode(PROBE, add_special_tokens=False).ids
    return bos is not None and with_specials[:1] == [bos] and plain[:1] != [bos]


def _template(config: Settings) -> str | None:
    found = config.value("chat_template")
    if isinstance(found, list):  # several, each with a name
        each = (cast("dict[str, Any]", e) for e in cast("list[Any]", found) if isinstance(e, dict))
        found = {e.get("name"): e.get("template") for e in each}.get("default")
    return found if isinstance(found, str) and found else None
