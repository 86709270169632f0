"""Reading the facts of the machine itself; blocks for milliseconds."""

import contextlib
import platform
import shutil
import sys
from pathlib import Path

from rbee_shared.machine import usable_cores, usable_memory
from rbee_shared.paths import resolve
from rbee_worker.doctor.facts import Machine

PROCESSOR_FILE = Path("/proc/cpuinfo")
FEATURE_KEYS = ("flags", "Features")  # on x86, on Arm


def read_machine() -> Machine:
    """Return what the machine is, as this process may use it.

    Raises:
        InvalidArgumentError: `RBEE_HOME` or `RBEE_MODELS` names no folder.
    """
    memory = usable_memory()
    models = resolve().models
    processor = _processor_facts()
    features = next((processor[key] for key in FEATURE_KEYS if key in processor), "")
    return Machine(
        python=sys.version_info[:2],
        processor=processor.get("model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=usable_cores(),
        features=frozenset(features.split()),
        memory_bytes=memory.total_bytes,
        free_memory_bytes=memory.free_bytes,
        models_folder=str(models),
        free_disk_bytes=shutil.disk_usage(_existing(models)).free,
    )


def _processor_facts() -> dict[str, str]:
    # of the first core: no machine that runs models has cores of different features that matter
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in PROCESSOR_FILE.read_text().splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    return facts


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())
