"""A llama with a few thousand weights in the layouts of the hub, and by our converter."""

import json
from pathlib import Path
from typing import Any

from rbee_worker.convert.convert import convert
from tests.model.exporters import Form, export
from tests.model.hub_weights import Weights
from tests.tiny_llama import TinyLlama


class TinyHub:
    """Makes folders of one model. `own` is the one that the converter makes."""

    def __init__(self, root: Path, tiny: TinyLlama) -> None:
        self._root = root
        self.gguf = tiny.write(root / "tiny.gguf")
        self.own = root / "own"
        convert(self.gguf, self.own)
        with (root / "weights").open("wb") as data:
            self.weights = Weights(self.gguf, data)

    def folder(self, form: Form, *, kv: str = "float32", accuracy: int = 1) -> Path:
        """Return a new folder of that form."""
        name = f"{form.value}-{len(list(self._root.iterdir()))}"
        return export(
            self.weights,
            self._root / "weights",
            self.own / "tokenizer.json",
            self._root / name,
            form,
            kv=kv,
            accuracy=accuracy,
        )


def edit(folder: Path, file: str, **values: Any) -> None:
    """Set values of a JSON file; `__` in a name leads into a section; None takes it out."""
    found = json.loads((folder / file).read_text())
    for key, value in values.items():
        *sections, last = key.split("__")
        section = found
        for each in sections:
            section = section[each]
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    (folder / file).write_text(json.dumps(found))
