import pytest
import typer

from rbee_keeper.options import (
    INT32_MAX,
    decimal,
    number,
    parse_duration,
    parse_rate,
    parse_weights,
)
from rbee_shared.contracts import wire


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("30", 30.0),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("1.5m", 90.0),
        ("5 m", 300.0),
        (" 1h ", 3_600.0),
        ("2d", 172_800.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration_s: float) -> None:
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize(
    "text", ["", "soon", "-5s", "+5s", "5 minutes", "1h30m", "1e3", "nan", "inf", "s", "5S", ".5s"]
)
def test_what_is_no_duration_is_told_what_one_is(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="30s, 5m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 30 + "d", "9" * 400, "36501d"])
def test_a_duration_that_no_message_holds_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="at most"):
        parse_duration(text)


def test_the_longest_duration_fits_a_message() -> None:
    assert wire.seconds(wire.duration(parse_duration("36500d"))) == 36_500 * 86_400


@pytest.mark.parametrize("text", ["0", "7", str(INT32_MAX)])
def test_a_number_in_its_range_is_taken(text: str) -> None:
    assert number()(text) == int(text)


@pytest.mark.parametrize("text", ["-1", str(INT32_MAX + 1), "9" * 30])
def test_a_number_out_of_its_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"{text} is not from 0 to {INT32_MAX}"):
        number()(text)


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "0x10", "9" * 5_000])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a whole number"):
        number()(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_decimal_is_finite(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not finite"):
        decimal(text)


def test_a_decimal_is_a_number() -> None:
    assert decimal("0.7") == 0.7
    with pytest.raises(typer.BadParameter, match="'warm' is not a number"):
        decimal("warm")


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("500K", 500 * 1024),
        ("10M", 10 * 1024**2),
        ("10m", 10 * 1024**2),
        ("1.5GiB", 3 * 2**29),
        ("20MB/s", 20_000_000),
        (" 20 MiB/s ", 20 * 1024**2),
        ("1T", 1024**4),
        ("0.5K", 512),
    ],
)
def test_a_rate_is_a_number_and_a_unit(text: str, bytes_per_second: int) -> None:
    assert parse_rate(text) == bytes_per_second


@pytest.mark.parametrize(
    "text", ["", "fast", "-1M", "10Mbit", "10Mbps", "10 iB", "1e6", "nan", "inf", "M", "10M/m"]
)
def test_what_is_no_rate_is_told_what_one_is(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="like 500K, 10M"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0.5", "0.0001K", "9" * 30, "9" * 400, "9999999T"])
def test_a_rate_that_would_not_be_kept_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="0 is no limit"):
        parse_rate(text)


def test_weights_are_one_of_three() -> None:
    assert [parse_weights(text) for text in ("int8", " Exact", "F32")] == ["int8", "exact", "f32"]
    with pytest.raises(typer.BadParameter, match="'q4' is not one of int8, exact, f32"):
        parse_weights("q4")
