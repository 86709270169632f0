"""In which form a matrix is stored, and what a model is then said to be."""

import pytest

from rbee_worker.convert.forms import Form, Precision, form_of, quantization


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("Q8_0", Form.INT8),
        ("Q4_0", Form.INT4),
        ("Q4_1", Form.INT4_OFFSET),
        ("Q6_K", Form.INT8),
        ("F16", Form.INT8),
    ],
)
def test_what_is_exact_depends_on_the_kind(kind: str, form: Form) -> None:
    assert form_of(kind, Precision.EXACT) is form
    assert form_of(kind, Precision.INT8) is Form.INT8
    assert form_of(kind, Precision.F32) is Form.FLOAT


@pytest.mark.parametrize(
    ("kinds", "precision", "said"),
    [
        (("Q4_K", "Q8_0"), Precision.INT8, "int8-block32"),
        (("Q4_K", "Q8_0"), Precision.F32, "float32"),
        (("Q4_1", "Q4_0", "Q8_0"), Precision.EXACT, "exact"),
        (("Q4_1", "Q6_K"), Precision.EXACT, "exact+int8"),
    ],
)
def test_a_model_is_exact_only_if_all_of_it_is(
    kinds: tuple[str, ...], precision: Precision, said: str
) -> None:
    assert quantization(kinds, precision) == said
