from pathlib import Path

from rbee_shared.lifecycle.logfile import cut


def test_a_log_over_its_bound_is_moved_aside_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "queen.log"
    with file.open("a") as log:
        log.write("x" * 50 + "\n")
        log.flush()
        assert cut(log.fileno(), file, bytes_max=100) is False
        log.write("y" * 60 + "\n")
        log.flush()
        assert cut(log.fileno(), file, bytes_max=100) is True
        log.write("new\n")
    assert file.read_text() == "new\n"
    assert len((tmp_path / "queen.log.1").read_text()) == 112


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    other, file = tmp_path / "other", tmp_path / "queen.log"
    file.write_text("z" * 200)
    with other.open("a") as opened:
        opened.write("x" * 200)
        opened.flush()
        assert cut(opened.fileno(), file, bytes_max=100) is False
    assert file.read_text() == "z" * 200
