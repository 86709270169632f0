"""What people hear of workers that come and go."""

from rbee_hive.workers.admission import GIB, Demand
from rbee_hive.workers.slots import SLOTS_MAX_DEFAULT
from rbee_hive.workers.spec import Spec
from rbee_shared.narration.narrate import narrate


def tell_spawn(spec: Spec, demand: Demand, cache_room_bytes: int) -> None:
    """Tell that a worker is started, with how many slots, and why they are not more."""
    slots = spec.grant.slots
    narrate(
        "worker_spawn",
        "starting {worker} for {model} on {device} with {slots} x {context} tokens",
        target=spec.id,
        worker=spec.id,
        model=spec.alias or spec.model,
        device=spec.grant.device,
        cores=spec.grant.cores,
        slots=slots,
        context=spec.context_length,
        cute="{worker} hatches on {device} to carry {model} in {slots} x {context} cells",
        story='"Take {model} to {device}, {worker}, and {slots} at once", says the hive',
    )
    if demand.slots == 0 and slots < SLOTS_MAX_DEFAULT:
        narrate(
            "worker_slots",
            "{slots} of {most} slots: {room_gib:.1f} GiB can be KV cache,"
            " each takes {slot_gib:.1f}",
            target=spec.id,
            slots=slots,
            most=SLOTS_MAX_DEFAULT,
            slot_gib=demand.slot_bytes / GIB,
            room_gib=cache_room_bytes / GIB,
            cute="{slots} of {most} cells: {room_gib:.1f} GiB of comb, each takes {slot_gib:.1f}",
            story='"{slots} at once: {room_gib:.1f} GiB are free, each takes'
            ' {slot_gib:.1f}", it adds',
        )


def tell_ready(worker_id: str, seconds: float) -> None:
    """Tell that a worker takes requests, and how long that took."""
    narrate(
        "worker_ready",
        "{worker} is ready after {seconds:.1f} s",
        target=worker_id,
        worker=worker_id,
        seconds=seconds,
        cute="{worker} is ready to fly after {seconds:.1f} s",
        story='"Ready", says {worker} after {seconds:.1f} s',
    )


def tell_evict(worker_id: str) -> None:
    """Tell that an idle worker is stopped for another one."""
    narrate(
        "worker_evict",
        "stopping idle {worker} to make room",
        target=worker_id,
        worker=worker_id,
        cute="idle {worker} makes room in the comb",
        story='"Make room, idle {worker}", says the hive',
    )


def tell_stop(worker_id: str) -> None:
    """Tell that a worker is stopped because somebody asked for it."""
    narrate(
        "worker_stop",
        "stopping {worker}",
        target=worker_id,
        worker=worker_id,
        cute="{worker} flies home",
        story='"You may go home, {worker}", says the hive',
    )
