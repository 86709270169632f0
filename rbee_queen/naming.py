"""Models in full, as every hive knows them: the words of a person are read once, here. Pure."""

from collections.abc import Mapping
from pathlib import Path

from rbee.v1 import operation_pb2 as pb
from rbee_shared.ids import LOCALHOST
from rbee_shared.references.kinds import FileReference
from rbee_shared.references.reference import parse, told_as


def in_full(operation: pb.Operation, *, home: Path, aliases: Mapping[str, str]) -> pb.Operation:
    """Return the operation with the model that it names in full.

    A file is on the queen's own machine, unless another hive is named: then its path is that
    hive's to read.

    Args:
        operation: as it was asked for.
        home: what `~` stands for.
        aliases: the user's own.

    Raises:
        RbeeError: it names a model, and what names it is no reference.
    """
    kind = operation.WhichOneof("kind")
    if kind is None or "model" not in getattr(operation, kind).DESCRIPTOR.fields_by_name:
        return operation
    full = pb.Operation()
    full.CopyFrom(operation)
    asked = getattr(full, kind)
    if not asked.model:
        return operation
    reference = parse(asked.model, home=home, aliases=aliases)
    if isinstance(reference, FileReference):
        if asked.hive not in ("", LOCALHOST):
            return operation
        asked.hive = LOCALHOST
    asked.model = reference.text
    return full


def told(model: str, *, home: Path, aliases: Mapping[str, str]) -> str:
    """Return the name that people are told for a model in full: its alias if it has one."""
    return told_as(parse(model, home=home, aliases=aliases))
