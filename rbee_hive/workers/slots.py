"""How many requests a worker answers at once, if nobody says. Pure.

Each has a slot: room for a whole context in the KV cache, taken when the worker starts. Two
requests at once cost little more time than one, but twice the cache.
"""

SLOTS_MAX = 256  # that can be asked for
SLOTS_MAX_DEFAULT = 16
CACHE_SHARE_MAX = 0.25  # of a device's free memory, for a cache whose size nobody asked for


def cache_room_bytes(*, free_bytes: int, other_bytes: int) -> int:
    """Return how large a cache can be whose size nobody asked for.

    Args:
        free_bytes: what the device has free.
        other_bytes: what the worker takes of it besides its cache.
    """
    return max(0, min(int(free_bytes * CACHE_SHARE_MAX), free_bytes - other_bytes))


def slots_that_fit(slot_bytes: int, room_bytes: int) -> int:
    """Return how many slots of that size fit: a power of two, at least 1."""
    slots = SLOTS_MAX_DEFAULT
    while slots > 1 and slots * slot_bytes > room_bytes:
        slots //= 2
    return slots
