"""What a pull would do, for people and programs. Pure."""

from typing import Any

from rbee.v1 import model_pb2
from rbee_keeper import units
from rbee_keeper.model_rows import fit_row

CHOICES_SHOWN_MAX = 20
MARK = "*"


def plan_facts(plan: model_pb2.DownloadPlan) -> dict[str, Any]:
    """Return a plan, but for its lists."""
    return {
        "reference": plan.reference,
        "revision": plan.revision,
        "is_present": plan.is_present,
        "fetch_bytes": plan.fetch_bytes,
        "reused_bytes": plan.reused_bytes,
        "required_disk_bytes": plan.required_disk_bytes,
        "free_disk_bytes": plan.free_disk_bytes,
    }


def plan_document(plan: model_pb2.DownloadPlan) -> dict[str, Any]:
    """Return a plan with all that there is to choose from."""
    return {
        **plan_facts(plan),
        "choices": choices(plan),
        "fits": [fit_row(fit) for fit in plan.fits],
        "problems": problems(plan),
    }


def choices(plan: model_pb2.DownloadPlan) -> list[dict[str, Any]]:
    """Return the files that there are, those that a pull would take first."""
    rows = [
        {
            "path": choice.path,
            "size_bytes": choice.size_bytes,
            "chosen": choice.chosen,
            "reason": choice.reason,
        }
        for choice in plan.choices
    ]
    return sorted(rows, key=lambda row: not row["chosen"])


def shown_choices(plan: model_pb2.DownloadPlan) -> tuple[list[dict[str, Any]], int]:
    """Return the first rows of a table, with a mark at what a pull would take; how many more."""
    rows = [{**row, "mark": MARK if row["chosen"] else " "} for row in choices(plan)]
    return rows[:CHOICES_SHOWN_MAX], max(0, len(rows) - CHOICES_SHOWN_MAX)


def problems(plan: model_pb2.DownloadPlan) -> list[str]:
    """Return why it would not work, a sentence each; none if it would, as far as is known."""
    found: list[str] = []
    if plan.required_disk_bytes > plan.free_disk_bytes:
        found.append(
            "it does not fit on the disk:"
            f" {_needed(plan.required_disk_bytes, plan.free_disk_bytes)}"
        )
    known = [fit for fit in plan.fits if fit.required_memory_bytes]
    if known and not any(fit.fits for fit in known):
        found += [
            f"it does not fit into the memory of `{fit.device}`:"
            f" {_needed(fit.required_memory_bytes, fit.free_memory_bytes)}"
            for fit in known
        ]
    return found


def _needed(needed_bytes: int, free_bytes: int) -> str:
    return f"{units.size(needed_bytes)} needed, {units.size(free_bytes)} free"
