"""Turning texts into vectors on this hive: have the model, have a worker, pass on what it makes."""

from functools import partial

from rbee.v1 import operation_pb2, worker_service_pb2 as pb
from rbee_hive.asking import ask
from rbee_hive.hive import Hive
from rbee_hive.infer import wanted_for
from rbee_hive.workers.worker import Worker
from rbee_shared.errors import InvalidArgumentError
from rbee_shared.limits import EMBED_INPUTS_MAX, PROMPT_CHARS_MAX
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate


async def embed(hive: Hive, operation: operation_pb2.EmbedOperation) -> operation_pb2.EmbedResult:
    """Return the vectors of all texts.

    Raises:
        RbeeError: why there are none.
    """
    _check(operation)
    request = pb.EmbedRequest(inputs=operation.inputs)
    worker, result = await ask(
        partial(_worker_for, hive, operation), lambda stub: stub.Embed(request), retries=True
    )
    found = result.embed
    found.model, found.hive, found.worker_id = worker.spec.model, hive.name, worker.spec.id
    return found


async def _worker_for(hive: Hive, operation: operation_pb2.EmbedOperation) -> Worker:
    wanted = await wanted_for(hive, operation.model, device=operation.device)
    worker = await hive.workers.serving(wanted)
    narrate(
        "embed_start",
        "{model} turns {count} texts into vectors on {worker}",
        target=worker.spec.id,
        level=Level.DEBUG,
        model=worker.spec.alias or worker.spec.model,
        count=len(operation.inputs),
        worker=worker.spec.id,
        cute="{worker} dances where {count} texts lie, as {model} would",
        story='"{count} texts? I shall point at each", says {worker}, who knows {model}',
    )
    return worker


def _check(operation: operation_pb2.EmbedOperation) -> None:
    count = len(operation.inputs)
    if not 1 <= count <= EMBED_INPUTS_MAX:
        raise InvalidArgumentError(
            f"1 to {EMBED_INPUTS_MAX} texts are taken at once, these are {count}",
            reason="INPUTS_MALFORMED",
            hint="send them in several parts" if count else "send one",
        )
    if not all(operation.inputs):
        raise InvalidArgumentError(
            "a text is empty", reason="INPUTS_MALFORMED", hint="leave it out, or give it words"
        )
    length = sum(map(len, operation.inputs))
    if length > PROMPT_CHARS_MAX:
        raise InvalidArgumentError(
            f"the texts have {length} characters, at most {PROMPT_CHARS_MAX} are taken at once",
            reason="INPUTS_TOO_LONG",
            hint="send them in several parts",
        )
