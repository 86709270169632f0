"""The table: medians, ranges, ratios of the rounds, and whether the goals are met. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.engine.cases import FAST, RBEE, SAME

ENGINES = (RBEE, SAME, FAST)
BASES = (SAME, FAST)
DIGITS_FROM = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of each engine, one of each round, and the least ratio to each base.

    Where `is_time`, less is better, and the ratio says how many times less. Where it is not
    `is_quiet`, other work had a share of the cores, and nothing is judged.
    """

    name: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    goals: Mapping[str, float | None]
    is_time: bool = False
    is_quiet: bool = True

    def ratios(self, base: str) -> list[float]:
        """Return how many times better rbee was than a base, in each round."""
        pairs = zip(self.figures[RBEE], self.figures[base], strict=True)
        return [other / own if self.is_time else own / other for own, other in pairs]

    def is_met(self, base: str) -> bool | None:
        """Return whether the median reaches the goal; None without one, or where nothing is."""
        return _is_met(self.ratios(base), self.goals.get(base), is_quiet=self.is_quiet)


@dataclass(frozen=True, slots=True)
class Alone:
    """A figure of rbee by itself, one of each round, and what it is to reach."""

    name: str
    unit: str
    figures: Sequence[float]
    goal: float | None = None
    is_quiet: bool = True

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the goal; None without one, or where nothing is judged."""
        return _is_met(self.figures, self.goal, is_quiet=self.is_quiet)


def compared(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table in which engines stand side by side."""
    lines = [
        f"| | {' | '.join(ENGINES)} | to the same file | to Q4_0 |",
        "|" + "---|" * (len(ENGINES) + len(BASES) + 1),
    ]
    for row in rows:
        cells = [f"{row.name}, {row.unit}"]
        cells += [_figure(row.figures[engine]) for engine in ENGINES]
        cells += [_ratio(row, base) for base in BASES]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def alone(rows: Sequence[Alone]) -> list[str]:
    """Return the lines of the table of what rbee reaches by itself."""
    lines = ["| | rbee | goal |", "|---|---|---|"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:g} {row.unit}: {_verdict(is_met=row.is_met)}"
        lines.append(f"| {row.name}, {row.unit} | {_figure(row.figures)} | {goal} |")
    return lines


def values(rows: Sequence[Row | Alone]) -> list[dict[str, object]]:
    """Return all rows as JSON has them."""
    return [_value(row) for row in rows]


def _value(row: Row | Alone) -> dict[str, object]:
    value: dict[str, object] = {"name": row.name, "unit": row.unit}
    if isinstance(row, Alone):
        return {**value, "figures": list(row.figures), "goal": row.goal, "met": row.is_met}
    return {
        **value,
        "figures": {engine: list(row.figures[engine]) for engine in ENGINES},
        "ratios": {base: row.ratios(base) for base in BASES},
        "goals": {base: row.goals.get(base) for base in BASES},
        "met": {base: row.is_met(base) for base in BASES},
    }


def _figure(figures: Sequence[float]) -> str:
    middle, low, high = median(figures), min(figures), max(figures)
    digits = 0 if middle >= DIGITS_FROM else 1
    if len(figures) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _ratio(row: Row, base: str) -> str:
    text = f"{median(row.ratios(base)):.2f}x"
    goal = row.goals.get(base)
    return text if goal is None else f"{text} of {goal:g}x: {_verdict(is_met=row.is_met(base))}"


def _is_met(figures: Sequence[float], goal: float | None, *, is_quiet: bool) -> bool | None:
    return None if goal is None or not is_quiet else median(figures) >= goal


def _verdict(*, is_met: bool | None) -> str:
    return {True: "met", False: "**not met**", None: "disturbed"}[is_met]
