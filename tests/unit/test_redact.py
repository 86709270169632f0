import time

import pytest

from rbee_shared.narration.event import Narration, Progress
from rbee_shared.narration.redact import (
    FIELD_COUNT_MAX,
    INTEGER_MAX,
    REDACTED,
    TEXT_LENGTH_MAX,
    clean,
    clean_name,
    clean_text,
)

SECRETS = [
    "Authorization: Bearer abc.def-ghi",
    "bearer    abc.def-ghi",
    "hf_abcdefghijklmnop",
    "https://hub?token=abc.def-ghi&x=1",
    "HF_TOKEN=abc.def-ghi",
    "my-api-key: abc.def-ghi",
    "API_KEY = 'abc.def-ghi'",
    '{"password": "abc.def-ghi two words"}',
    "key=abc.def-ghi",
    "client_secret:abc.def-ghi",
    "hf_\u200babcdefghijklmnop",
    "tok\x1b[31men=abc.def-ghi",
    "Authorization: Basic abc.def-ghi==",
    "authorization=token abc.def-ghi",
    "'Authorization': 'Bearer abc.def-ghi'",
    "BEARER\tabc.def-ghi",
    "bearer: abc.def-ghi",
    'Bearer "abc.def-ghi two words"',
    "b\u200be\u2060arer abc.def-ghi",
    "x_hf_abcdefghijklmnop",
    "https://hub/hf_abcdefghijklmnop/resolve",
    "apikey=abc.def-ghi",
    "ApiKey : abc.def-ghi",
    "api-key='abc.def-ghi two words'",
    "secret_key=abc.def-ghi",
    "AWS_SECRET_ACCESS_KEY=abc.def-ghi",
    "privateKey: abc.def-ghi",
    "accessToken: abc.def-ghi",
    "DB_PASSWORD=abc.def-ghi",
    "passwd:abc.def-ghi",
    "passphrase = abc.def-ghi",
    '{\\"password\\": \\"abc.def-ghi\\"}',
    "key\r\n=\r\nabc.def-ghi",
    "key\u202e=abc.def-ghi",
    "--token abc.def-ghi",
    "serve --hf-token 'abc.def-ghi two words'",
    "http://user:abc.def-ghi@proxy:3128/",
    "socks5://:abc.def-ghi@proxy",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_taken_out(text: str) -> None:
    cleaned = clean_text(text)
    assert REDACTED in cleaned
    for part in ("abc.def", "ghi", "abcdefgh", "two words"):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "12 tokens a second",
        "monkey: banana",
        "tokens: 12",
        "starting w-1 on cpu",
        "the key is lost",
        "--max-tokens 12",
        "--token-file /run/x",
        "--token --quiet",
        "http://proxy:3128/a@b",
        "half_of_it is done",
        "no bearer",
        "authorization is needed",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize("text", [*SECRETS, "x" * 5000, "token=" + "y" * 5000, "a\tb\r\nc\u202e"])
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("a\x00b\x7fc\x9bd", "abcd"),
        ("left\u202eright\u2066\u200b\ufeff", "leftright"),
        ("two\r\nlines\tand", "two lines and"),
        ("half \ud83d a pair", "half  a pair"),
        ("tag\U000e0041", "tag"),
        ("grüße 🐝", "grüße 🐝"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_taken_out(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_a_long_text_is_cut_and_says_so() -> None:
    cleaned = clean_text("x" * 100_000)
    assert len(cleaned) == TEXT_LENGTH_MAX
    assert cleaned.endswith("…")


@pytest.mark.parametrize(
    "unit",
    ["a-", "a", "token ", "token", "bearer ", "bearer", " ", "key='", "\x1b[", "\x1b]", "-_",
     'token="', "key = ", "key=[REDACTED", "hf_", "\x1b[0", "api_key-", "\\", "key\\", "key=\\",
     "--token ", "--", "authorization: token ", "authorization ", "://", "://a:", "://:",
     "bearer: ", "access_key"],
)  # fmt: skip
def test_hostile_text_takes_no_time(unit: str) -> None:
    text = (unit * 8192)[:8192]
    begin = time.perf_counter()
    clean_text(text)
    clean_text("key" + text)
    assert time.perf_counter() - begin < 0.1


def test_a_name_is_ascii_and_short() -> None:
    assert clean_name("wörk er\n" + "x" * 100) == ("w_rk_er_" + "x" * 100)[:64]


def test_every_part_of_a_narration_is_cleaned() -> None:
    dirty = "\x1b[31mkey=abc.def\ud800"
    cleaned = clean(
        Narration(
            actor="a b",
            action="c\nd",
            human=dirty,
            time_s=float("nan"),
            target=dirty,
            fields={"x y": dirty, "token": "abc.def", "huge": 10**30, "ratio": 0.5, "yes": True},
            progress=Progress(-1, 10**30, dirty),
            correlation_id="i d",
            cute=dirty,
            story=dirty,
        )
    )
    safe = f"key={REDACTED}"
    assert cleaned == Narration(
        actor="a_b",
        action="c_d",
        human=safe,
        time_s=0.0,
        target=safe,
        fields={"x_y": safe, "token": REDACTED, "huge": INTEGER_MAX, "ratio": 0.5, "yes": True},
        progress=Progress(0, INTEGER_MAX, safe),
        correlation_id="i_d",
        cute=safe,
        story=safe,
    )


def test_only_so_many_fields_are_kept() -> None:
    fields = {f"f{i}": i for i in range(100)}
    assert len(clean(Narration("a", "b", "c", 1.0, fields=fields)).fields) == FIELD_COUNT_MAX
