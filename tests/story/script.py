"""What a scripted job tells: all of it follows from a seed, so that a reader can know it."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from rbee.v1 import inference_pb2, operation_pb2
from rbee_shared.narration.context import current
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate, tell_completion

WORDS = ("sky", " is", " blue", " bees", " ähm", " 🐝", "\n", " 42")


@dataclass(frozen=True)
class Step:
    """One thing to tell. `kind` is told, thread, progress or token."""

    kind: str
    text: str
    number: int


@dataclass(frozen=True)
class Script:
    """One scripted job."""

    seed: int
    length: int
    pause_s: float

    def operation(self) -> operation_pb2.Operation:
        """Return what asks for it: a prompt that only the scripted hive understands."""
        prompt = f"{self.seed} {self.length} {self.pause_s}"
        return operation_pb2.Operation(
            infer=operation_pb2.InferOperation(model="hf:story/script", prompt=prompt)
        )

    def steps(self) -> list[Step]:
        """Return what it tells."""
        chance = random.Random(self.seed)
        kinds = chance.choices(("token", "told", "progress", "thread"), (6, 2, 2, 1), k=self.length)
        return [
            Step(kind, chance.choice(WORDS) if kind == "token" else f"{kind} {number}", number)
            for number, kind in enumerate(kinds)
        ]

    def text(self) -> str:
        """Return the whole answer."""
        return "".join(step.text for step in self.steps() if step.kind == "token")

    def humans(self) -> list[str]:
        """Return what people are told, progress apart."""
        return [step.text for step in self.steps() if step.kind in ("told", "thread")]


def script_of(operation: operation_pb2.Operation) -> Script:
    """Read what `Script.operation` wrote."""
    seed, length, pause_s = operation.infer.prompt.split()
    return Script(int(seed), int(length), float(pause_s))


async def perform(operation: operation_pb2.Operation, executions: Path) -> operation_pb2.Result:
    """Tell a script to the current job, and note in a file that it was begun."""
    script = script_of(operation)
    with executions.open("a") as file:
        file.write(current().job_id + "\n")
    for step in script.steps():
        match step.kind:
            case "token":
                tell_completion(inference_pb2.Completion(text=step.text, token_ids=[step.number]))
            case "told":
                narrate("script", step.text)
            case "thread":
                await asyncio.to_thread(narrate, "script", step.text)
            case _:
                progress = Progress(step.number, script.length)
                narrate("script_progress", step.text, progress=progress)
        await asyncio.sleep(script.pause_s)
    return operation_pb2.Result(infer=operation_pb2.InferResult(seed=script.seed))
