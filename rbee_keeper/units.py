"""Sizes and times in words for people. Pure; costs no import of Rich."""

from datetime import datetime

from rbee_shared.narration.event import Progress

SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024
UNITS_SHOWN = 2  # a third would tell nobody anything
SPANS = (
    ("year", 365 * 86_400),
    ("month", 30 * 86_400),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
)
NOW_S = 1.0  # what is nearer is now: clocks of two machines differ too


def size(size_bytes: float) -> str:
    """Return a size in binary units."""
    number, unit = _scaled(size_bytes)
    return f"{number} {unit}"


def measure(progress: Progress) -> str:
    """Return how far a step is, `12.0 of 88.6 MiB`; empty where nobody knows."""
    if not progress.total:
        return ""
    if progress.unit != "bytes":
        return f"{progress.done}/{progress.total}"
    total, total_unit = _scaled(progress.total)
    done, done_unit = _scaled(progress.done)
    between = "" if done_unit == total_unit else f" {done_unit}"
    return f"{done}{between} of {total} {total_unit}"


def rate(bytes_per_second: float) -> str:
    """Return a rate in binary units."""
    return f"{size(bytes_per_second)}/s"


def pace(progress: Progress) -> str:
    """Return how fast bytes come and how long they still take; empty where nobody knows."""
    if not progress.rate or progress.unit != "bytes":
        return ""
    if not progress.remaining_s:
        return rate(progress.rate)
    return f"{rate(progress.rate)}, {span(max(1, round(progress.remaining_s)))} left"


def clock(span_s: float) -> str:
    """Return a length of time as a clock counts it: `1:02:03`."""
    minutes, seconds = divmod(round(span_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def span(span_s: float) -> str:
    """Return a length of time in at most its two largest units: `2 hours 5 minutes`."""
    if span_s < SPANS[-2][1]:
        return f"{span_s:.3g} seconds" if span_s != 1 else "1 second"
    left = int(span_s)
    words: list[str] = []
    for name, length_s in SPANS:
        count, left = divmod(left, length_s)
        if words and not count:
            break
        if count:
            words.append(counted(count, name))
        if len(words) == UNITS_SHOWN:
            break
    return " ".join(words)


def age(iso: str, now_s: float) -> str:
    """Return a time in ISO 8601 as seen from now: `3 minutes ago`, `in 2 hours`."""
    moment_s = datetime.fromisoformat(iso).timestamp()
    distance_s = abs(now_s - moment_s)
    if distance_s < NOW_S:
        return "just now"
    name, length_s = next(each for each in SPANS if distance_s >= each[1])
    words = counted(int(distance_s / length_s), name)
    return f"{words} ago" if moment_s < now_s else f"in {words}"


def counted(count: int, name: str) -> str:
    """Return a number of things: `1 file`, `2 files`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _scaled(size_bytes: float) -> tuple[str, str]:
    index = 0
    while size_bytes >= STEP and index < len(SIZES) - 1:
        size_bytes /= STEP
        index += 1
    return (f"{size_bytes:.0f}" if index == 0 else f"{size_bytes:.1f}", SIZES[index])
