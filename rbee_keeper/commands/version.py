"""`rbee version`: the versions of what runs. Starts nothing."""

import platform
from importlib.metadata import PackageNotFoundError, version

from rbee_keeper import output
from rbee_keeper.lazy import verb
from rbee_keeper.options import Json
from rbee_shared.lifecycle import lock
from rbee_shared.paths import resolve

app = verb()

ENGINES = ("onnxruntime-gpu", "onnxruntime")


@app.command()
def show_version(as_json: Json = False) -> None:
    """Show the versions of rbee, the queen that runs, and what they stand on.

    Example: rbee version
    """
    holder = lock.holder_of(resolve().lock("queen"))
    facts = {
        "rbee": version("rbee"),
        "queen": holder.version if holder else None,
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "engine": next((f"{name} {found}" for name in ENGINES if (found := _found(name))), None),
    }
    output.show_facts(facts, as_json=as_json)


def _found(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
