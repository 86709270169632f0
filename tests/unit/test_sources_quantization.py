"""What quantisations are called in the names of files, and by people."""

import pytest

from rbee_shared.references.quantization import is_quantization, kind_in_name, normalized


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("qwen2.5-0.5b-instruct-q5_k_m.gguf", "Q5_K_M"),
        ("x-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("x_ud_iq1_s.gguf", "UD-IQ1_S"),
        ("x-IQ4_XS.gguf", "IQ4_XS"),
        ("x-IQ3_XXS.gguf", "IQ3_XXS"),
        ("x-Q2_K_L.gguf", "Q2_K_L"),
        ("x.Q3_K.gguf", "Q3_K"),
        ("x.Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("model_fp16.gguf", "F16"),
        ("x-bf16.gguf", "BF16"),
        ("f32.gguf", "F32"),
        ("bf16-then-Q8_0.gguf", "Q8_0"),
        ("a_q4_k_m_v2.gguf", "Q4_K_M"),
        ("x-Q8_0-00001-of-00003.gguf", "Q8_0"),
        ("gpt-oss-mxfp4.gguf", "MXFP4"),
        ("Llama-3.2-Q8.gguf", ""),
        ("reQ8_0x.gguf", ""),
        ("model.gguf", ""),
    ],
)
def test_the_name_of_a_file_tells_its_quantisation(name: str, kind: str) -> None:
    assert kind_in_name(name) == kind


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("q4_k_m", "Q4_K_M"),
        ("ud-q4_k_xl", "UD-Q4_K_XL"),
        ("f16", "F16"),
        ("FP16", "fp16"),
        ("Q4", "q4"),
        ("Quantized", "q8"),
        ("q8", "q8"),
        ("INT8", "int8"),
    ],
)
def test_a_quantisation_is_written_in_one_way(word: str, written: str) -> None:
    assert is_quantization(word)
    assert normalized(word) == written
    assert normalized(written) == written


@pytest.mark.parametrize("word", ["", "-x", "a/b", "a b", "a.b", "é", "x" * 33])
def test_what_cannot_be_a_quantisation_is_none(word: str) -> None:
    assert not is_quantization(word)
