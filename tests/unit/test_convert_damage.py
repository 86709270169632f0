"""Files that are not what they say: every one ends in a known error that names the file."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbee_shared.errors import (
    FailedPreconditionError,
    NotFoundError,
    RbeeError,
    UnimplementedError,
)
from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision
from rbee_worker.convert.gguf import GgufDamagedError, GgufFile
from rbee_worker.convert.header import read_header
from tests.tiny_llama import TinyLlama

LAYERS = "llama.block_count"
ARRAY, BOOL = 9, 7


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return TinyLlama(layers=1).write(tmp_path / "tiny.gguf")


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF", b"GGUF\3\0\0\0", b"PK\3\4" * 9])
def test_what_is_no_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bread.gguf").write_bytes(content)
    with pytest.raises(GgufDamagedError, match=r"`bread\.gguf`") as caught:
        convert(tmp_path / "bread.gguf", tmp_path / "out")
    assert caught.value.reason == "MODEL_FILE_DAMAGED"
    assert caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file `gone\.gguf`"):
        convert(tmp_path / "gone.gguf", tmp_path / "out")


def test_a_folder_is_no_file_to_convert(tmp_path: Path) -> None:
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(FailedPreconditionError, match=r"`folder\.gguf` cannot be read"):
        convert(tmp_path / "folder.gguf", tmp_path / "out")


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_file_that_ends_too_early_is_refused(kept: float, tiny: Path, tmp_path: Path) -> None:
    os.truncate(tiny, int(tiny.stat().st_size * kept))
    with pytest.raises(GgufDamagedError, match=r"`tiny\.gguf` ends too early"):
        convert(tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_list_that_claims_to_be_endless_is_refused_at_the_end_of_the_file(tmp_path: Path) -> None:
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    field = struct.pack("<Q", 1) + b"x" + struct.pack("<IIQ", ARRAY, BOOL, 2**62)
    (tmp_path / "bomb.gguf").write_bytes(header + field + b"\0" * 100)
    with pytest.raises(GgufDamagedError, match="malformed"):
        GgufFile(tmp_path / "bomb.gguf")


def test_lists_in_lists_in_lists_are_refused(tmp_path: Path) -> None:
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    nested = struct.pack("<IQ", ARRAY, 1) * 5_000
    field = struct.pack("<Q", 1) + b"x" + struct.pack("<I", ARRAY) + nested
    (tmp_path / "deep.gguf").write_bytes(header + field)
    with pytest.raises(GgufDamagedError, match="malformed"):
        GgufFile(tmp_path / "deep.gguf")


def test_whatever_bit_flips_the_error_is_a_known_one(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    random = np.random.default_rng(5)
    refused = 0
    for number in range(150):
        damaged = bytearray(whole)
        for place in random.integers(4, 4_096, 3):
            damaged[place] ^= 1 << int(random.integers(8))
        tiny.write_bytes(damaged)
        try:
            convert(tiny, tmp_path / f"out{number}")
        except RbeeError:
            refused += 1
    assert refused > 50


def test_a_file_that_is_cut_while_it_is_read_is_damage_and_not_a_crash(
    tiny: Path, tmp_path: Path
) -> None:
    file = GgufFile(tiny)
    os.truncate(tiny, tiny.stat().st_size // 2)
    names = sorted(file.tensor_names)
    with pytest.raises(GgufDamagedError, match="ends too early"):
        _ = [list(file.rows(name, file.shape(name), at_once=7)) for name in names]


def test_a_file_that_is_gone_while_it_is_read_is_named(tiny: Path) -> None:
    file = GgufFile(tiny)
    tiny.unlink()
    with pytest.raises(NotFoundError, match=r"no file `tiny\.gguf`"):
        file.floats("output_norm.weight", 64)


def test_a_tensor_stored_in_an_unknown_way_is_named(tiny: Path) -> None:
    whole, name = tiny.read_bytes(), b"output_norm.weight"
    place = whole.index(name) + len(name) + 4 + 8  # after its name, its rank and its one size
    tiny.write_bytes(whole[:place] + struct.pack("<I", 4_000) + whole[place + 4 :])
    with pytest.raises(UnimplementedError, match=r"`output_norm\.weight` has the number 4000"):
        GgufFile(tiny)


def test_a_name_that_stands_twice_is_damage(tiny: Path) -> None:
    whole = tiny.read_bytes()
    tiny.write_bytes(whole.replace(b"blk.0.attn_k.weight", b"blk.0.attn_q.weight"))
    with pytest.raises(GgufDamagedError, match="malformed"):
        GgufFile(tiny)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1"])
def test_blocks_whose_scale_is_no_number_are_damage(
    kind: str, precision: Precision, tmp_path: Path
) -> None:
    source = TinyLlama(layers=1, kind=kind).write(tmp_path / "tiny.gguf")
    with source.open("r+b") as opened:
        opened.seek(read_header(source).tensors["blk.0.ffn_up.weight"].offset)
        opened.write(b"\x00\x7e")  # not a number, as a half float
    with pytest.raises(GgufDamagedError, match=r"`blk\.0\.ffn_up\.weight` holds infinite"):
        convert(source, tmp_path / "out", precision)
    assert not (tmp_path / "out" / "rbee.json").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (LAYERS, None),
        (LAYERS, 0),
        (LAYERS, "one"),
        ("llama.embedding_length", True),
        ("llama.attention.head_count_kv", [2, 2]),
        ("llama.attention.layer_norm_rms_epsilon", None),
        ("llama.rope.freq_base", float("inf")),
        ("tokenizer.ggml.tokens", None),
        ("tokenizer.ggml.token_type", [1, 1]),
        ("tokenizer.ggml.tokens", ["a"] * 262),
        ("tokenizer.ggml.merges", ["he llo"]),
        ("tokenizer.ggml.merges", ["hell"]),
        ("tokenizer.ggml.eos_token_id", 262),
        ("tokenizer.ggml.bos_token_id", "1"),
    ],
)
def test_metadata_that_makes_no_sense_is_damage(key: str, value: Any, tmp_path: Path) -> None:
    source = TinyLlama(layers=1, metadata={key: value}).write(tmp_path / "tiny.gguf")
    with pytest.raises(GgufDamagedError):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["blk.0.attn_v.weight", "output_norm.weight", "token_embd.weight"])
def test_a_tensor_that_is_missing_is_named_and_the_folder_has_no_description(
    name: str, tmp_path: Path
) -> None:
    source = TinyLlama(layers=1, without=(name,)).write(tmp_path / "tiny.gguf")
    with pytest.raises(GgufDamagedError, match=rf"`tiny\.gguf` has no tensor `{name}`"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out" / "rbee.json").exists()


def test_weights_that_are_no_numbers_are_damage(tmp_path: Path) -> None:
    norm = np.full(64, np.nan, np.float32)
    source = TinyLlama(layers=1, tensors={"output_norm.weight": norm}).write(tmp_path / "tiny.gguf")
    with pytest.raises(GgufDamagedError, match=r"`output_norm\.weight` holds infinite"):
        convert(source, tmp_path / "out")


def test_the_other_byte_order_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.gguf").write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    with pytest.raises(UnimplementedError, match="byte order"):
        GgufFile(tmp_path / "big.gguf")


def test_a_folder_that_holds_something_is_left_alone(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(FailedPreconditionError, match="`out` is not empty") as caught:
        convert(tiny, tmp_path / "out")
    assert caught.value.reason == "FOLDER_NOT_EMPTY"
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_a_folder_that_cannot_be_made_is_named(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPreconditionError, match="`out` cannot be written: Not a directory"):
        convert(tiny, tmp_path / "file" / "out")
