"""The real model in the hub's layouts, by the tests' own exporter: it says what ours says."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rbee.v1 import inference_pb2, worker_service_pb2, worker_service_pb2_grpc
from rbee_shared.lifecycle.child import running_child
from rbee_shared.rpc.channel import connected
from rbee_worker import device
from rbee_worker.describe.describe import describe
from rbee_worker.description import ModelDescription
from rbee_worker.engine.engine import Engine, opened_engine
from rbee_worker.engine.preparing import PromptTooLongError
from rbee_worker.engine.request import Finish, FinishReason, Request
from rbee_worker.layouts.signature import Style
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.session import Session
from rbee_worker.text.tokenizer import Tokenizer
from tests.model import exporters, hub_weights
from tests.model.exporters import Form, export
from tests.model.hub_weights import Weights

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

Floats = NDArray[Any]
CHUNK_TOKENS = 64
CPU = device.parse("cpu")
QUESTIONS = (
    "Why is the sky blue?",
    "What is a computer?",
    "Explain how rain is made.",
    "Give me a recipe for pancakes.",
    "Repeat this list and say what it is. " + "apple, pear, plum, cherry, quince; " * 20,
)
ANSWER_TOKENS = 32
MAX_LEN = 512
SLOTS = 16
STEPS = 4
STYLES = {Form.GENAI: Style.SHARED, Form.WEB: Style.SHARED, Form.CONCAT: Style.COMPAT}
NEAR_TIE = 0.5  # logits: where another token is chosen, ours nearly was


@pytest.fixture(scope="session")
def hub(kept: Path, gguf: Path, onnx_model: Path) -> Mapping[Form, Path]:
    """The folder of each form, exported once for each form of the exporter."""
    sources = [Path(str(each.__file__)).read_bytes() for each in (exporters, hub_weights)]
    root = kept / f"hub-{hashlib.sha256(b''.join(sources)).hexdigest()[:16]}"
    if not root.exists():
        new = Path(tempfile.mkdtemp(dir=kept))
        with (new / "weights").open("wb") as data:
            weights = Weights(gguf, data)
        for form in Form:
            tokenizer = onnx_model / "tokenizer.json"
            export(weights, new / "weights", tokenizer, new / form.value, form)
        try:
            new.rename(root)
        except OSError:  # another run was quicker
            shutil.rmtree(new)
    for form in Form:
        describe(root / form.value, name="SmolLM2", licence="apache-2.0")
    return {form: root / form.value for form in Form}


def opened(folder: Path) -> Session:
    found = ModelDescription.read(folder)
    return Session(folder, found, device=CPU, threads=2, max_len=MAX_LEN, slots=SLOTS)


def prefilled(session: Session, prompt: list[int]) -> Floats:
    row: Floats = np.empty(0)
    for begin in range(0, len(prompt), CHUNK_TOKENS):
        row = session.prefill(0, prompt[begin : begin + CHUNK_TOKENS], begin)[0]
    return row.copy()


def followed(session: Session, prompt: list[int], answer: list[int]) -> Floats:
    """Return the logits for each token of a given answer."""
    rows = [prefilled(session, prompt)]
    for place, token in enumerate(answer[:-1]):
        rows.append(session.decode(0, [token], [len(prompt) + place])[0].copy())
    return np.array(rows)


def answered(session: Session, prompt: list[int]) -> list[int]:
    """Return the greedy answer, whatever token it goes through."""
    tokens = [int(prefilled(session, prompt).argmax())]
    while len(tokens) < ANSWER_TOKENS:
        row = session.decode(0, tokens[-1:], [len(prompt) + len(tokens) - 1])[0]
        tokens.append(int(row.argmax()))
    return tokens


def shares(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.fixture(scope="session")
def prompts(onnx_model: Path) -> list[list[int]]:
    tokenizer = Tokenizer(onnx_model, ModelDescription.read(onnx_model))
    found = [tokenizer.encode_conversation([{"role": "user", "content": q}]) for q in QUESTIONS]
    assert len(found[-1]) > 2 * CHUNK_TOKENS
    return found


@pytest.fixture(scope="session")
def ours(onnx_model: Path, prompts: list[list[int]]) -> tuple[list[list[int]], Floats]:
    """What the converted model answers, and its logits on the way."""
    session = opened(onnx_model)
    assert session.style is Style.OWN
    answers = [answered(session, prompt) for prompt in prompts]
    pairs = zip(prompts, answers, strict=True)
    return answers, np.concatenate([followed(session, *pair) for pair in pairs])


@pytest.mark.parametrize("form", Form)
def test_a_layout_of_the_hub_answers_as_the_converted_model_does(
    form: Form,
    hub: Mapping[Form, Path],
    prompts: list[list[int]],
    ours: tuple[list[list[int]], Floats],
) -> None:
    answers, expected = ours
    session = opened(hub[form])
    assert session.style is STYLES[form]
    pairs = list(zip(prompts, answers, strict=True))
    found = np.concatenate([followed(session, *pair) for pair in pairs])
    divergence = (np.exp(shares(expected)) * (shares(expected) - shares(found))).sum(axis=-1)
    assert divergence.mean() < 0.01
    assert (expected.argmax(axis=-1) == found.argmax(axis=-1)).mean() >= 0.98
    chosen = np.take_along_axis(expected, found.argmax(axis=-1, keepdims=True), axis=-1)
    assert (expected.max(axis=-1, keepdims=True) - chosen).max() < NEAR_TIE
    same = [answered(session, prompt) == answer for prompt, answer in pairs]
    assert sum(same) >= len(same) / 2


@pytest.mark.parametrize("form", [None, Form.GENAI, Form.WEB])
def test_rows_in_company_get_the_logits_that_they_get_alone(
    form: Form | None, hub: Mapping[Form, Path], onnx_model: Path, prompts: list[list[int]]
) -> None:
    session = opened(hub[form] if form else onnx_model)
    several = [prompt[place:] for place in range(3) for prompt in prompts]
    alone: list[list[Floats]] = []
    for row, prompt in enumerate(several, start=1):
        prefilled(session, prompt)
        session.copy(0, row, len(prompt))
        lengths = range(len(prompt), len(prompt) + STEPS)
        alone.append([session.decode(0, [7], [length])[0].copy() for length in lengths])
    for step in range(STEPS):
        lengths = [len(prompt) + step for prompt in several]
        found = session.decode(1, [7] * len(several), lengths)
        np.testing.assert_array_equal(found, [each[step] for each in alone])


@pytest.mark.parametrize("form", Form)
def test_a_layout_of_the_hub_is_described(
    form: Form, hub: Mapping[Form, Path], onnx_model: Path
) -> None:
    found, own = ModelDescription.read(hub[form]), ModelDescription.read(onnx_model)
    for key in ("layers", "heads", "kv_heads", "head_dim", "hidden_size", "vocab_size"):
        assert getattr(found, key) == getattr(own, key)
    assert (found.quantization, found.context_length) == ("int8-block32", 8_192)
    assert (found.chat_template, found.eos_token_ids) == (own.chat_template, (2, 0))


async def answer(engine: Engine, request: Request) -> tuple[str, Finish]:
    text = ""
    async with aclosing(engine.generate(request)) as outputs:
        async for output in outputs:
            text += output.text
            if output.finish is not None:
                return text, output.finish
    raise AssertionError("no end")


def asked(text: str, max_tokens: int | None = None) -> Request:
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
    return Request(sampling, messages=({"role": "user", "content": text},))


@pytest.mark.parametrize("form", Form)
async def test_the_engine_keeps_its_promises_on_every_layout(
    form: Form, hub: Mapping[Form, Path]
) -> None:
    async with opened_engine(hub[form], device=CPU, threads=2, max_len=160) as engine:
        first, finish = await answer(engine, asked(QUESTIONS[0], ANSWER_TOKENS))
        assert "Rayleigh" in first
        assert finish.usage.completion_tokens == ANSWER_TOKENS
        long = "word " * 90
        _, finish = await answer(engine, asked(long))  # more than a chunk; the context ends it
        assert finish.usage.prompt_tokens > CHUNK_TOKENS
        assert finish.usage.prompt_tokens + finish.usage.completion_tokens <= 160
        if finish.reason == FinishReason.LENGTH:
            assert finish.usage.prompt_tokens + finish.usage.completion_tokens == 160
        with pytest.raises(PromptTooLongError):
            await answer(engine, asked("word " * 200))
        assert (await answer(engine, asked(QUESTIONS[0], ANSWER_TOKENS)))[0] == first


@pytest.mark.parametrize("form", Form)
async def test_a_worker_process_serves_every_layout(
    form: Form, hub: Mapping[Form, Path], tmp_path: Path
) -> None:
    socket = f"unix:{tmp_path}/worker.sock"
    arguments = ["--id", "w1", "--model", str(hub[form]), "--listen", socket, "--threads", "2"]
    question = worker_service_pb2.GenerateRequest(
        conversation=inference_pb2.Conversation(
            messages=[inference_pb2.Message(role=inference_pb2.ROLE_USER, content=QUESTIONS[0])]
        ),
        sampling=inference_pb2.SamplingParams(temperature=0, max_tokens=32),
    )
    async with running_child("rbee_worker", arguments, name="worker") as child:
        ready = await child.ready()
        async with connected(ready.address) as channel:
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            events = [
                event
                async for response in stub.Generate(question, timeout=60)
                for event in response.events
            ]
        assert "Rayleigh" in "".join(event.completion.text for event in events)
        await child.stop()
        assert child.exit_code == 0
