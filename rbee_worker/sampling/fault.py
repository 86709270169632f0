"""What is said when the model's numbers are no numbers."""

from rbee_shared.errors import RbeeError


class NumericFaultError(RbeeError):
    """The model gave logits that leave no choice; the request fails, the worker lives."""

    reason = "NUMERIC_FAULT"
    hint = "run it again; if it stays so, `rbee model rm` the model and pull it again"
