"""Models as a user has them: a hub, a file, a folder; fetched, listed, checked, pruned, removed."""

import json
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Home, environment_of
from tests.hub.hub import Hub
from tests.hub.serve import serving_hub
from tests.tiny_llama import TinyLlama

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Q8, Q4 = "tiny-Q8_0.gguf", "tiny-Q4_0.gguf"
ALIASES = '[aliases]\nmine = "org/tiny:Q4_0#exact"\nbroken = "smollm2"\n'
SPOILED = b"x"


@dataclass(frozen=True)
class Place:
    """A user's home whose hive knows one hub."""

    home: Home
    hub: Hub
    files: Path

    def say(self, model: str) -> str:
        """Return what a model answers, greedily."""
        asked = ("run", model, "hello", "--temperature", "0", "--max-tokens", "12", "--raw")
        result = self.home.rbee(*asked)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def told(self, *arguments: str) -> str:
        """Return what a command that works writes."""
        result = self.home.rbee(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    def refused(self, *arguments: str) -> str:
        """Return what a command that fails says."""
        result = self.home.rbee(*arguments)
        assert (result.returncode, result.stdout) == (1, ""), result.stdout
        return result.stderr

    def listed(self, reference: str) -> list[dict[str, Any]]:
        """Return the models of a reference, newest first."""
        models = self.home.json("model", "list")
        return [each for each in models if each["reference"] == reference]


@contextmanager
def placed(folder: Path) -> Generator[Place]:
    """Have a hub and a home whose hive pulls from it, for the block."""
    with serving_hub(folder / "hub") as hub:
        environment = environment_of(
            folder / "home",
            HF_ENDPOINT=hub.endpoint,
            HF_HOME=str(folder / "hf"),
            NO_PROXY="127.0.0.1",
        )
        home = Home(folder / "home", environment)
        (home.folder / "config").mkdir(parents=True)
        (home.folder / "config/config.toml").write_text(ALIASES)
        (folder / "files").mkdir()
        yield Place(home, hub, folder / "files")
        stopped = home.rbee("queen", "stop")
        assert stopped.returncode == 0, stopped.stderr
        assert home.processes() == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("place")) as place:
        q8 = TinyLlama(kind="Q8_0").write(place.files / Q8)
        q4 = TinyLlama(kind="Q4_0", layers=1).write(place.files / Q4)
        place.hub.put("org/tiny", {Q8: q8.read_bytes(), Q4: q4.read_bytes(), "README.md": b"# 1"})
        place.told("pull", "org/tiny")
        yield place


def test_a_dry_run_shows_what_a_pull_takes_and_takes_nothing(place: Place) -> None:
    before = place.home.json("model", "list")
    table = place.home.rbee("pull", "org/tiny", "--quant", "q4_0", "--dry-run").stdout
    assert f"*  {Q4}" in table
    assert f"   {Q8}" in table
    plan = place.home.json("pull", "org/tiny", "--file", Q4, "--dry-run")
    [chosen] = [each for each in plan["choices"] if each["chosen"]]
    assert (chosen["path"], plan["fetch_bytes"]) == (Q4, chosen["size_bytes"])
    assert not plan["is_present"]
    assert place.home.json("pull", "org/tiny", "--dry-run")["is_present"]
    file = place.home.json("pull", str(place.files / Q8), "--dry-run")
    assert (file["fetch_bytes"], len(file["choices"])) == (0, 1)
    assert place.home.json("model", "list") == before


def test_what_is_chosen_is_a_model_of_its_own(place: Place) -> None:
    place.told("pull", "org/tiny", "--quant", "Q4_0")
    assert f"hf:org/tiny:{Q4} is here now" in place.told("pull", "org/tiny", "--file", Q4)
    [by_kind] = place.listed("hf:org/tiny:Q4_0")
    assert by_kind["converter"].startswith("int8/")
    [by_default] = place.listed("hf:org/tiny")
    assert by_kind["source_sha256"] != by_default["source_sha256"]
    assert "says otherwise" in place.refused("pull", "org/tiny:Q8_0", "--quant", "Q4_0")
    assert "there are `Q8_0`, `Q4_0`" in place.refused("pull", "org/tiny", "--quant", "Q6_K")


def test_weights_are_a_part_of_what_a_model_is_called(place: Place) -> None:
    assert "mine is here now" in place.told("pull", "mine")
    [exact] = place.listed("hf:org/tiny:Q4_0#exact")
    assert exact["converter"].startswith("exact/")
    assert exact["alias"] == "mine"
    again = place.told("pull", "org/tiny:Q4_0", "--weights", "exact")
    assert "is here already" in again
    assert place.home.json("model", "show", "mine")["quantization"] != "int8-block32"


def test_an_alias_of_nothing_is_told_with_what_to_do(place: Place) -> None:
    assert "did you mean `mine`?" in place.refused("run", "mined", "hello")
    unknown = place.refused("run", "zzz", "hello")
    assert "no model is called `zzz`" in unknown
    assert "aliases: broken, mine, smollm2" in unknown
    assert "stands for no other" in place.refused("pull", "broken")


def test_a_list_and_a_model_are_shown(place: Place) -> None:
    table = place.home.rbee("model", "list").stdout
    assert table.splitlines()[0].split()[:2] == ["NAME", "REFERENCE"]
    assert "hf:org/tiny " in table
    [model] = place.listed("hf:org/tiny")
    shown = place.home.json("model", "show", "org/tiny")
    assert {key: shown[key] for key in model if key != "name"}.items() <= model.items()
    assert sum(file["size_bytes"] for file in shown["files"]) == shown["size_bytes"]
    text = place.home.rbee("model", "show", "org/tiny").stdout
    assert shown["folder"] in text
    assert shown["revision"] in text


def test_what_a_model_is_from_the_hub_alone_says_why(place: Place) -> None:
    assert "has no model `org/none`" in place.refused("pull", "org/none")
    assert "has no revision `v9`" in place.refused("pull", "org/tiny@v9")
    assert "on this machine" in place.refused("pull", str(place.files / "none.gguf"))
    assert "on this machine" in place.refused("pull", str(place.files / "no"), "--dry-run")


def test_damage_is_found_shown_and_mended(place: Place) -> None:
    assert "all as they came" in place.told("model", "verify")
    shown = place.home.json("model", "show", "org/tiny")
    file = Path(shown["folder"]) / "tokenizer.json"
    data = file.read_bytes()
    file.unlink()  # it may be linked to other models
    file.write_bytes(SPOILED * len(data))
    found = place.home.rbee("model", "verify", "org/tiny", "--json")
    assert found.returncode == 1
    [fault] = json.loads(found.stdout)["faults"]
    assert (fault["path"], fault["repaired"]) == ("tokenizer.json", False)
    assert "1 fault in 4 files of 1 model" in found.stderr
    assert "`rbee model verify --repair`" in found.stderr
    assert "1 fault repaired" in place.told("model", "verify", "org/tiny", "--repair")
    assert file.read_bytes() == data
    file.unlink()
    listed = place.home.rbee("model", "list")
    assert "warning: hf:org/tiny: `tokenizer.json` is gone" in listed.stderr
    assert "is here now" in place.told("pull", "org/tiny"), "a pull mends it too"


def test_a_new_revision_is_used_and_the_old_one_pruned(place: Place) -> None:
    place.hub.put("org/moving", {Q8: (place.files / Q8).read_bytes()})
    text = place.say("org/moving")
    commit = place.hub.put("org/moving", {Q8: (place.files / Q4).read_bytes()})
    assert place.say("org/moving") == text, "nobody asked for a newer one"
    assert "is here now" in place.told("pull", "org/moving")
    new, old = place.listed("hf:org/moving")
    assert (new["revision"], new["superseded"], old["superseded"]) == (commit, False, True)
    assert "superseded" in place.home.rbee("model", "list").stdout
    assert place.say("org/moving") != text
    dry = place.home.json("model", "prune", "--dry-run")
    assert [each["path"] for each in dry["paths"]] == [old["folder"]]
    assert "removed 1 and freed" in place.told("model", "prune")
    assert place.listed("hf:org/moving") == [new]
    assert "there is nothing to remove" in place.told("model", "prune")


def test_a_model_in_use_is_removed_by_force_alone(place: Place) -> None:
    assert place.say("org/tiny").strip()
    assert "is used by" in place.refused("model", "rm", "org/tiny")
    removed = place.home.json("model", "rm", "org/tiny", "--force")
    assert (removed["reference"], place.listed("hf:org/tiny")) == ("hf:org/tiny", [])
    assert place.home.json("ps") == []
    assert "no model `hf:org/tiny`" in place.refused("model", "rm", "org/tiny")
    place.told("pull", "org/tiny")


def test_a_model_goes_to_a_machine_without_a_hub(place: Place, tmp_path: Path) -> None:
    shown = place.home.json("model", "show", "org/tiny")
    stick = tmp_path / "stick" / Path(shown["folder"]).name
    shutil.copytree(shown["folder"], stick)
    with placed(tmp_path / "other") as other:
        done = other.told("model", "import", str(stick))
        assert f"{stick} is here now as hf:org/tiny" in done
        assert other.say("org/tiny").strip()
        assert other.hub.requests == []
        assert other.home.json("model", "import", str(stick))["was_present"]
        (stick / "tokenizer.json").write_bytes(SPOILED)
        other.told("model", "rm", "org/tiny", "--force")
        assert "`tokenizer.json` has 1 bytes" in other.refused("model", "import", str(stick))
        taken = other.home.json("model", "import", str(place.files / Q4), "--weights", "f32")
        assert taken["reference"] == f"file:{place.files / Q4}#f32"
