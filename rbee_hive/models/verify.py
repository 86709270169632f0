"""Hashing a model's files again: what they are against what they were when they came."""

from rbee_hive.files.progress import CHECKING, progress_of
from rbee_hive.files.steps import Steps, hash_steps, in_steps
from rbee_hive.models.metadata import ModelFault, StoredModel
from rbee_shared.references.reference import REVISION_SHOWN_LENGTH


async def verify(model: StoredModel, *, is_one_of_many: bool = False) -> tuple[ModelFault, ...]:
    """Return what is wrong with the files of a model, telling how far it is.

    Args:
        model: the model.
        is_one_of_many: whether other revisions of it are told of too.
    """
    name = model.alias or model.reference
    if is_one_of_many:
        name = f"{name} ({model.revision[:REVISION_SHOWN_LENGTH]})"
    return await in_steps(verify_steps(model), progress_of(CHECKING, name, model.size_bytes))


def verify_steps(model: StoredModel) -> Steps[tuple[ModelFault, ...]]:
    """Hash the files of a model; yield the bytes done, return what is wrong."""
    faults: list[ModelFault] = []
    done = 0
    for each in model.files:
        file = model.folder / each.path
        why = ""
        try:
            size_bytes = file.stat().st_size
            if size_bytes != each.size_bytes:
                why = f"`{each.path}` has {size_bytes} bytes, not {each.size_bytes}"
            else:
                sha256 = yield from hash_steps(file, begin_bytes=done)
                if sha256 != each.sha256:
                    why = f"the SHA-256 of `{each.path}` is `{sha256}`, not `{each.sha256}`"
        except FileNotFoundError:
            why = f"`{each.path}` is gone"
        except OSError as error:
            why = f"`{each.path}` cannot be read: {error.strerror}"
        if why:
            faults.append(ModelFault(model.reference, each.path, why))
        done += each.size_bytes
        yield done
    return tuple(faults)
