from pathlib import Path

import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.settings import Settings, load


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "config.toml", {}) == Settings()


def test_the_file_is_over_the_defaults_and_the_environment_over_the_file(tmp_path: Path) -> None:
    text = '[queen]\nlisten = "127.0.0.1:1"\n[hive]\ncores = 3\nkeep_alive_s = 5\n'
    settings = load(written(tmp_path, text), {"RBEE_HIVE_CORES": "4", "RBEE_HOME": "/x"})
    assert settings == Settings(queen_listen="127.0.0.1:1", hive_cores=4, hive_keep_alive_s=5.0)
    assert type(settings.hive_keep_alive_s) is float


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("YES", True), (" true ", True), ("0", False), ("no", False)]
)
def test_a_switch_has_words(tmp_path: Path, text: str, *, value: bool) -> None:
    settings = load(tmp_path / "x", {"RBEE_QUEEN_SEPARATE_HIVE": text})
    assert settings.queen_separate_hive is value


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ('[queen]\nlistn = "x"', "queen.listn", "queen.listen"),
        ("[hive]\nkeepalive = 3", "hive.keepalive", "hive.keep_alive_s"),
        ("cores = 3", "cores", "hive.cores"),
        ("[[hive]]\ncores = 3", "hive", "hive."),
    ],
)
def test_an_unknown_key_names_the_nearest(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"`{key}`") as error:
        load(written(tmp_path, text), {})
    assert error.value.reason == "SETTING_UNKNOWN"
    assert nearest in error.value.hint


def test_a_key_like_no_other_lists_them_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        load(written(tmp_path, "[zzz]\nqqq = 1"), {})
    assert "queen.listen" in error.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "[hive]\ncores = 2.7",
        "[hive]\ncores = true",
        "[hive]\ncores = [1]",
        '[hive]\ncores = "many"',
        "[hive]\nkeep_alive_s = nan",
        "[hive]\nkeep_alive_s = inf",
        "[hive]\nkeep_alive_s = 2026-01-01",
        "[queen]\nlisten = 7833",
        "[queen]\nlisten = ['a']",
        "[queen]\nseparate_hive = 3",
    ],
)
def test_a_value_of_a_wrong_type_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        load(written(tmp_path, text), {})
    assert error.value.reason == "SETTING_MALFORMED"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RBEE_HIVE_CORES", "many"),
        ("RBEE_HIVE_CORES", ""),
        ("RBEE_HIVE_CORES", "2.5"),
        ("RBEE_HIVE_CORES", "9" * 5000),
        ("RBEE_HIVE_KEEP_ALIVE_S", "nan"),
        ("RBEE_QUEEN_SEPARATE_HIVE", "maybe"),
    ],
)
def test_a_variable_of_a_wrong_type_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not"):
        load(tmp_path / "x", {name: text})


@pytest.mark.parametrize("data", [b"[queen\n", b"\xff\xfe", b"a = " + b"[" * 5000])
def test_what_is_not_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    with pytest.raises(InvalidArgumentError) as error:
        load(file, {})
    assert error.value.reason == "SETTINGS_MALFORMED"


def test_aliases_are_the_users_own_names_in_small_letters(tmp_path: Path) -> None:
    text = '[hive]\ncores = 2\n[aliases]\nQwen-3 = " org/repo:Q8_0 "\n'
    settings = load(written(tmp_path, text), {"RBEE_ALIASES": "x"})
    assert settings.aliases == {"qwen-3": "org/repo:Q8_0"}
    assert settings.hive_cores == 2


@pytest.mark.parametrize(
    "text",
    [
        "[aliases]\na = 3",
        "[aliases]\na = ''",
        "[aliases]\na = '  '",
        "[aliases]\na = ['x']",
        "[aliases]\na.b = 'x'",
        "[aliases]\n'a b' = 'x'",
        "[aliases]\n'' = 'x'",
        "[aliases]\n'../a' = 'x'",
        f"[aliases]\n{'a' * 64} = 'x'",
        f"[aliases]\na = '{'x' * 513}'",
        "[aliases]\na = 'x'\nA = 'y'",
        "[aliases]\n" + "\n".join(f"a{each} = 'x'" for each in range(201)),
    ],
)
def test_an_alias_that_cannot_be_one_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"config\.toml") as error:
        load(written(tmp_path, text), {})
    assert error.value.reason == "ALIAS_MALFORMED"
    assert error.value.hint


def test_aliases_that_are_no_section_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="`aliases`"):
        load(written(tmp_path, "aliases = 3"), {})
