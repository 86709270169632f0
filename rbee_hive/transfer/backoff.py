"""How long to wait before a retry. Pure: chance is an argument."""

JITTER = 0.5  # of the wait, at most, is left out


def wait_s(failure_count: int, first_s: float, chance: float, *, after_s: float = 0.0) -> float:
    """Return the wait after so many failures in a row.

    Args:
        failure_count: from 1.
        first_s: the longest wait after the first one; it doubles with each.
        chance: between 0 and 1; those who failed together shall not come back together.
        after_s: what the source asked for, which is the least.
    """
    longest_s = first_s * 2 ** (failure_count - 1)
    return max(after_s, longest_s * (1 - JITTER * chance))
