"""The options of `rbee run` that say how tokens are chosen and when an answer ends."""

from collections.abc import Callable
from typing import Annotated

import typer

from rbee.v1 import inference_pb2
from rbee_keeper.options import INT64_MAX, decimal, number

SAMPLING, END = "Choosing tokens", "Ending"
BIAS_MAX = 100.0
ANSWERS_MAX = 16
LOGPROBS_MAX = 20
REPETITION_MIN = 0.01  # by nothing one cannot divide
STOP_CHARS_MAX = 256


def within(minimum: float, maximum: float, *, above: bool = False) -> Callable[[str], float]:
    """Return a parser of numbers from `minimum`, or `above` it, to `maximum`."""

    def parse(text: str) -> float:
        value = decimal(text)
        if value > maximum or value < minimum or (above and value == minimum):
            begin = f"above {minimum:g}" if above else f"from {minimum:g}"
            raise typer.BadParameter(f"{value:g} is not {begin} to {maximum:g}")
        return value

    return parse


def parse_bias(text: str) -> inference_pb2.LogitBias:
    """Return the bias of `TOKEN=BIAS`.

    Raises:
        typer.BadParameter: it is none, or out of range.
    """
    token, sign, bias = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"'{text}' is not like 42=-100")
    return inference_pb2.LogitBias(token_id=number()(token), bias=within(-BIAS_MAX, BIAS_MAX)(bias))


def parse_stop(text: str) -> str:
    """Return a text that ends an answer.

    Raises:
        typer.BadParameter: it is empty, or longer than any that is looked for.
    """
    if not 1 <= len(text) <= STOP_CHARS_MAX:
        raise typer.BadParameter(f"a text to stop at has 1 to {STOP_CHARS_MAX} characters")
    return text


Temperature = Annotated[
    float,
    typer.Option(
        "--temperature",
        "-t",
        parser=within(0, 2),
        metavar="X",
        help="0 to 2; 0 takes the likeliest token.",
        rich_help_panel=SAMPLING,
    ),
]
TopK = Annotated[
    int,
    typer.Option(
        parser=number(),
        metavar="N",
        help="Keep the N likeliest tokens; 0: all.",
        rich_help_panel=SAMPLING,
    ),
]
TopP = Annotated[
    float,
    typer.Option(
        parser=within(0, 1, above=True),
        metavar="X",
        help="Keep the likeliest with this probability.",
        rich_help_panel=SAMPLING,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        parser=within(0, 1),
        metavar="X",
        help="Drop what is less likely than this share of the likeliest.",
        rich_help_panel=SAMPLING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        parser=number(-INT64_MAX, INT64_MAX),
        metavar="N",
        help="The same seed gives the same text.",
        rich_help_panel=SAMPLING,
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        parser=within(REPETITION_MIN, 2),
        metavar="X",
        help="Divide the logits of tokens that were used; 1: not.",
        rich_help_panel=SAMPLING,
    ),
]
FrequencyPenalty = Annotated[
    float | None,
    typer.Option(
        parser=within(-2, 2),
        metavar="X",
        help="Lower a token's logit for each use in the answer.",
        rich_help_panel=SAMPLING,
    ),
]
PresencePenalty = Annotated[
    float | None,
    typer.Option(
        parser=within(-2, 2),
        metavar="X",
        help="Lower the logit of every token that the answer has.",
        rich_help_panel=SAMPLING,
    ),
]
LogitBias = Annotated[
    list[inference_pb2.LogitBias] | None,
    typer.Option(
        parser=parse_bias,
        metavar="TOKEN=BIAS",
        help="Add to a token's logit, -100 to 100; may be given again.",
        rich_help_panel=SAMPLING,
    ),
]
Logprobs = Annotated[
    int | None,
    typer.Option(
        parser=number(0, LOGPROBS_MAX),
        metavar="N",
        help="Tell log-probabilities, with N alternatives each; see --json, --verbose.",
        rich_help_panel=SAMPLING,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        parser=number(1), metavar="N", help="End after so many tokens.", rich_help_panel=END
    ),
]
MinTokens = Annotated[
    int | None,
    typer.Option(
        parser=number(), metavar="N", help="Do not end before so many.", rich_help_panel=END
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        parser=parse_stop,
        metavar="TEXT",
        help="End before this text; may be given again.",
        rich_help_panel=END,
    ),
]
StopToken = Annotated[
    list[int] | None,
    typer.Option(
        parser=number(),
        metavar="ID",
        help="End at this token; may be given again.",
        rich_help_panel=END,
    ),
]
IgnoreEos = Annotated[
    bool,
    typer.Option("--ignore-eos", help="Go on when the model wants to end.", rich_help_panel=END),
]
