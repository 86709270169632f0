from rbee.v1 import model_pb2
from rbee_keeper.model_rows import listed, model_row, name_of


def test_a_model_of_no_words_is_a_row_too() -> None:
    row = model_row(model_pb2.Model())
    assert (row["state"], row["superseded"], row["licence"]) == ("unspecified", False, "")
    assert listed(row)["revision"] == ""


def test_a_list_has_a_short_revision_and_marks_what_is_old() -> None:
    model = model_pb2.Model(
        revision="8f3a12bc90de77", superseded=True, state=model_pb2.MODEL_STATE_AVAILABLE
    )
    row = model_row(model)
    assert (listed(row)["revision"], listed(row)["state"]) == ("8f3a12bc90de", "superseded")
    assert (row["revision"], row["state"]) == ("8f3a12bc90de77", "available")


def test_that_an_old_one_is_damaged_is_not_hidden() -> None:
    model = model_pb2.Model(superseded=True, state=model_pb2.MODEL_STATE_DAMAGED)
    assert listed(model_row(model))["state"] == "damaged"


def test_a_model_is_called_by_its_alias_or_the_end_of_its_reference() -> None:
    assert name_of(model_pb2.Model(alias="a", reference="hf:org/b")) == "a"
    assert name_of(model_pb2.Model(reference="hf:org/b")) == "b"
    assert name_of(model_pb2.Model(reference="pypi:c==1")) == "pypi:c==1"
