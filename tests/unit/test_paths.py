import os
import stat
import tempfile
from pathlib import Path

import pytest

from rbee_shared.errors import FailedPreconditionError, InvalidArgumentError
from rbee_shared.paths import LONGEST_SOCKET_NAME, SOCKET_PATH_LENGTH_MAX, resolve


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_everything_is_under_rbee_home(tmp_path: Path) -> None:
    paths = resolve({"RBEE_HOME": str(tmp_path)})
    folders = (paths.config, paths.models, paths.state, paths.run, paths.logs, paths.token_file)
    assert all(folder.is_relative_to(tmp_path) for folder in folders)
    assert paths.socket("queen") == paths.run / "queen.sock"
    assert paths.lock("queen") == paths.run / "queen.lock"
    assert paths.log_file("queen") == paths.logs / "queen.log"


def test_models_may_be_elsewhere(tmp_path: Path) -> None:
    paths = resolve({"RBEE_HOME": str(tmp_path / "home"), "RBEE_MODELS": str(tmp_path / "big")})
    assert paths.models == tmp_path / "big"
    assert paths.state.is_relative_to(tmp_path / "home")


def test_a_relative_home_and_a_tilde_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert resolve({"RBEE_HOME": "here"}).state == tmp_path / "here/state"
    assert resolve({"RBEE_HOME": "~/rbee"}).state == tmp_path / "me/rbee/state"


@pytest.mark.parametrize("variable", ["RBEE_HOME", "RBEE_MODELS"])
def test_the_home_of_nobody_is_refused(variable: str) -> None:
    with pytest.raises(InvalidArgumentError, match=variable):
        resolve({variable: "~no-such-user-here/x"})


def test_the_folders_are_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths = resolve({"RBEE_HOME": str(tmp_path / "home")}).create()
    finally:
        os.umask(before)
    for folder in (paths.config, paths.state, paths.logs, paths.run):
        assert mode_of(folder) == 0o700
    assert mode_of(paths.models) & 0o022 == 0


def test_an_open_folder_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run").chmod(0o777)
    assert mode_of(resolve({"RBEE_HOME": str(tmp_path)}).create().run) == 0o700


def test_a_long_home_gets_a_short_run_folder_of_its_own(tmp_path: Path) -> None:
    homes = [tmp_path / (letter * 100) for letter in "ab"]
    runs = [resolve({"RBEE_HOME": str(home)}).run for home in homes]
    for run in runs:
        assert len(str(run / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LENGTH_MAX
        assert run.parent == Path(tempfile.gettempdir())
    assert len(set(runs)) == 2
    assert runs[0] == resolve({"RBEE_HOME": str(homes[0])}).run


def test_sockets_are_never_in_a_folder_that_another_user_may_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = Path(tempfile.gettempdir())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared / "runtime-of-somebody"))
    assert resolve({}).run.parent == shared
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert resolve({}).run.parent != shared / f"runtime-{os.getuid()}"


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(FailedPreconditionError, match="state") as error:
        resolve({"RBEE_HOME": str(tmp_path)}).create()
    assert error.value.reason == "FOLDER_UNUSABLE"
    assert "RBEE_HOME" in error.value.hint


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FailedPreconditionError, match="run"):
        resolve({"RBEE_HOME": str(tmp_path)}).create()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(FailedPreconditionError, match="not ours"):
        resolve({"RBEE_HOME": str(tmp_path)}).create()
