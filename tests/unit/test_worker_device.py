import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker import device


@pytest.mark.parametrize("text", ["", "gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:0 ", "cuda:9999"])
def test_a_malformed_device_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="malformed"):
        device.parse(text)


def test_a_device_reads_back() -> None:
    assert [str(device.parse(text)) for text in ("cpu", "cpu:0", "cuda:3")] == [
        "cpu:0",
        "cpu:0",
        "cuda:3",
    ]
