"""`rbee run` and `rbee embed`: the real command line against a queen that answers at once."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rbee.v1 import inference_pb2, operation_pb2 as pb
from rbee_shared.contracts import wire
from rbee_shared.narration.narrate import tell_completion
from tests.keepers import Keeper, keeper_of

USAGE = inference_pb2.Usage(
    prompt_tokens=9,
    completion_tokens=5,
    cached_tokens=4,
    first_token_duration=wire.duration(0.5),
    total_duration=wire.duration(1.0),
    inter_token_duration=wire.duration(0.1),
    inter_token_duration_max=wire.duration(0.25),
)


async def answer(operation: pb.Operation) -> pb.Result:
    if operation.HasField("embed"):
        embeddings = [
            pb.Embedding(values=[len(each) / 3, *[0.5] * 9]) for each in operation.embed.inputs
        ]
        embed = pb.EmbedResult(embeddings=embeddings, model="m", hive="attic", worker_id="w-1")
        embed.usage.prompt_tokens = 7
        return pb.Result(embed=embed)
    result = pb.InferResult(usage=USAGE, seed=7, worker_id="w-1", hive="attic")
    for index in reversed(range(operation.infer.sampling.n or 1)):
        tell_completion(inference_pb2.Completion(text=f"answer {index}", index=index))
        result.finishes.add(index=index)
    return pb.Result(infer=result)


@pytest.fixture
async def rbee(tmp_path: Path) -> AsyncGenerator[Keeper]:
    async with keeper_of(tmp_path, answer) as keeper:
        yield keeper


async def test_all_that_is_said_of_sampling_is_asked_for(rbee: Keeper) -> None:
    done = await rbee(
        *("run", "smollm2", "hi", "--min-p", "0.25", "--min-tokens", "3", "--stop-token", "4"),
        *("--stop-token", "5", "--ignore-eos", "--repetition-penalty", "1.5"),
        *("--frequency-penalty", "-0.5", "--presence-penalty", "0.5", "--logit-bias", "7=-100"),
        *("--logit-bias", "8=1", "--logprobs", "2", "--seed", "9", "-t", "0"),
    )
    assert (done.code, done.out) == (0, "answer 0\n"), done.err
    assert rbee.last().sampling == inference_pb2.SamplingParams(
        temperature=0,
        top_k=40,
        top_p=0.95,
        min_p=0.25,
        seed=9,
        min_tokens=3,
        stop_token_ids=[4, 5],
        ignore_eos=True,
        repetition_penalty=1.5,
        frequency_penalty=-0.5,
        presence_penalty=0.5,
        logit_biases=[
            inference_pb2.LogitBias(token_id=7, bias=-100),
            inference_pb2.LogitBias(token_id=8, bias=1),
        ],
        logprobs=2,
    )


async def test_a_form_and_tools_are_asked_for(rbee: Keeper, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('[{"name": "find"}]')
    form = inference_pb2.ResponseFormat
    choices = inference_pb2.Choices(options=["yes", "no"])
    for arguments, expected in (
        (("--schema", '{"type": "object"}'), form(json_schema='{"type": "object"}')),
        (("--regex", "a+"), form(regex="a+")),
        (("--choice", "yes", "--choice", "no"), form(choices=choices)),
        (("--grammar", "tools.json"), form(grammar='[{"name": "find"}]')),
    ):
        done = await rbee("run", "smollm2", "hi", *arguments)
        assert done.code == 0, done.err
        assert rbee.last().sampling.response_format == expected
    done = await rbee("run", "smollm2", "hi", "--tools", "tools.json", "--tool-choice", "find")
    assert done.code == 0, done.err
    assert rbee.last().conversation.tool_name == "find"


async def test_several_answers_come_one_after_the_other_and_say_what_they_cost(
    rbee: Keeper,
) -> None:
    done = await rbee("run", "smollm2", "hi", "-n", "3", "--verbose")
    assert done.out.splitlines() == ["answer 0", "---", "answer 1", "---", "answer 2"]
    assert done.err.splitlines()[-1] == (
        "9 tokens in (4 known already), 5 out, first after 500 ms, then each 100.0 ms,"
        " at most 250 ms, 4.0 tokens/s, seed 7, w-1 on attic"
    )


async def test_for_programs_answers_stay_events(rbee: Keeper) -> None:
    done = await rbee("run", "smollm2", "hi", "-n", "2", "--json", "--priority", "batch")
    events = [json.loads(line) for line in done.out.splitlines()]
    pieces = [each["completion"] for each in events if "completion" in each]
    assert pieces == [{"text": "answer 1", "index": 1}, {"text": "answer 0"}]


async def test_who_can_wait_says_so(rbee: Keeper) -> None:
    await rbee("run", "smollm2", "hi", "--priority", "batch")
    [job] = json.loads((await rbee("job", "list", "--json")).out)
    assert job["priority"] == "batch"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--min-p", "2"), "2 is not from 0 to 1"),
        (("-t", "3"), "3 is not from 0 to 2"),
        (("--top-p", "0"), "0 is not above 0 to 1"),
        (("--logprobs", "21"), "21 is not from 0 to 20"),
        (("-n", "0"), "0 is not from 1 to 16"),
        (("--max-tokens", "0"), "0 is not from 1"),
        (("--stop", ""), "a text to stop at has 1 to 256 characters"),
        (("--repetition-penalty", "0"), "0 is not from 0.01 to 2"),
        (("--logit-bias", "x"), "`x` is not like 42=-100"),
        (("--schema", "{"), "the schema is no JSON"),
        (("--schema", "nowhere.json"), "cannot read `nowhere.json`: No such file"),
        (("--regex", "a", "--choice", "b"), "only one of --schema"),
        (("--tool-choice", "auto"), "--tool-choice is for the tools of --tools"),
        (("--priority", "high"), "`high` is not one of interactive, batch"),
    ],
)
async def test_a_wrong_value_is_wrong_usage_with_a_hint(
    rbee: Keeper, arguments: tuple[str, ...], error: str
) -> None:
    done = await rbee("run", "smollm2", "hi", *arguments)
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert error in first
    assert second == "hint: `rbee run --help` shows how"
    assert rbee.asked == []


async def test_texts_of_arguments_and_lines_become_lines_of_numbers(rbee: Keeper) -> None:
    done = await rbee("embed", "smollm2", "one", stdin="three\n\nseven s\n")
    assert list(rbee.last().inputs) == ["one", "three", "seven s"]
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"10 numbers: {first} +0.5000 +0.5000 +0.5000 +0.5000 +0.5000 +0.5000 +0.5000 ..."
        for first in ("+1.0000", "+1.6667", "+2.3333")
    ]


async def test_vectors_for_programs_are_one_document_with_every_number(rbee: Keeper) -> None:
    done = await rbee("embed", "smollm2", "four", "--json", "--hive", "attic", "--device", "cpu")
    [line] = done.out.splitlines()
    assert json.loads(line) == {
        "model": "m",
        "hive": "attic",
        "worker_id": "w-1",
        "prompt_tokens": 7,
        "embeddings": [[1.33333337, *[0.5] * 9]],
    }
    assert (rbee.last().hive, rbee.last().device) == ("attic", "cpu")


async def test_no_text_is_refused_with_what_to_do(rbee: Keeper) -> None:
    done = await rbee("embed", "smollm2", " ")
    assert done.code == 1
    assert done.err.splitlines()[0] == "error: there is no text"
    assert done.err.splitlines()[1].startswith("hint: rbee embed MODEL")


async def test_an_empty_text_among_others_is_refused_for_its_vector_would_be_missed(
    rbee: Keeper,
) -> None:
    done = await rbee("embed", "smollm2", "one", "", "two")
    assert done.code == 1
    assert done.err.splitlines()[0] == "error: one of the texts is empty"
    assert rbee.asked == []
