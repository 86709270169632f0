"""What kinds of operations there are, as far as all of rbee treats them differently."""

LOOKUPS = frozenset(
    {
        "status",
        "self_check",
        "model_list",
        "model_get",
        "worker_list",
        "worker_get",
        "worker_logs",
        "device_list",
        "hive_list",
        "hive_get",
    }
)
"""Answered from what is known now: nobody comes back for their story, so none is written down."""

CANCEL_BY_DEFAULT = frozenset({"infer", "embed"})
"""Wanted by who waits for them: without ON_DISCONNECT they end with their connection."""
