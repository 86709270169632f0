"""Measuring in rounds: every engine in turn for each case, so that noise falls on all of them."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from statistics import mean, median
from typing import TypeVar

from bench.engine import bandwidth
from bench.engine.cases import (
    DECODE,
    HIT_GOAL,
    LONG,
    OTHER,
    PREFILL,
    PREFILL_GOAL,
    RBEE,
    ROOFLINE_GOAL,
    SAME,
    SHORT,
    DecodeCase,
)
from bench.engine.child import Child
from bench.engine.exchange import Decoded, FirstTokens, Prompt
from bench.engine.model import Read
from bench.engine.table import Alone, Row
from bench.engine.texts import Texts, repeated_share

WARM_TOKENS = 8
CACHED_SHARE_MAX = 0.05  # of a prompt that is to be computed: beyond it is another thing
GIGA = 1e9
MILLISECONDS = 1_000
PERCENT = 100
LAST_NUMBER = 100_000  # of the prompts of no case
DISTURBED_MAX = 0.1  # of the cores, by other work

Series = dict[str, list[float]]
Told = TypeVar("Told")


@dataclass(slots=True)
class Measured:
    """What the rounds found, by case and engine, and what there is to say about it."""

    reads: Mapping[str, Read]
    decode: dict[str, Series] = field(default_factory=dict[str, Series])
    lengths: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    repeated: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    first: dict[str, list[FirstTokens]] = field(default_factory=dict[str, list[FirstTokens]])
    bandwidth: list[float] = field(default_factory=list[float])
    disturbed: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    loads: list[float] = field(default_factory=list[float])
    notes: set[str] = field(default_factory=set[str])

    def rows(self) -> list[Row]:
        """Return the figures of all engines."""
        rows = [
            Row(
                case.name,
                "tokens/s",
                self.decode[case.name],
                case.goals,
                is_quiet=self._is_quiet(case.name),
            )
            for case in DECODE
            if case.name in self.decode
        ]
        if self.first:
            first = {name: [LONG / each.first_s for each in v] for name, v in self.first.items()}
            again = {
                name: [each.again_s * MILLISECONDS for each in v] for name, v in self.first.items()
            }
            goals = {SAME: PREFILL_GOAL}
            is_quiet = self._is_quiet(PREFILL)
            rows.append(Row(PREFILL, "tokens/s", first, goals, is_quiet=is_quiet))
            rows.append(Row(f"the same {LONG} tokens again", "ms", again, {}, is_time=True))
        return rows

    def alone(self) -> list[Alone]:
        """Return the figures of each engine by itself."""
        rows: list[Alone] = []
        if RBEE in self.first:
            hits = [each.first_s / each.again_s for each in self.first[RBEE]]
            name = f"{LONG} tokens again, against computing them"
            rows.append(Alone(name, "x", hits, HIT_GOAL, is_quiet=self._is_quiet(PREFILL)))
        if OTHER.name in self.decode and self.bandwidth:
            rows += [self._roofline(name, read) for name, read in self.reads.items()]
            rows.append(Alone("memory, read", "GB/s", [each / GIGA for each in self.bandwidth]))
        for name, shares in self.repeated.items():
            percent = [share * PERCENT for share in shares]
            rows.append(Alone(f"of the answer, told by what came before: {name}", "%", percent))
        disturbed = [share * PERCENT for each in self.disturbed.values() for share in each]
        rows.append(Alone("of the cores, taken by other work", "%", disturbed))
        return rows

    def _roofline(self, engine: str, read: Read) -> Alone:
        context = mean(self.lengths[OTHER.name]) + OTHER.count / 2
        pairs = zip(self.decode[OTHER.name][engine], self.bandwidth, strict=True)
        shares = [PERCENT * rate * read.at(context) / limit for rate, limit in pairs]
        goal = ROOFLINE_GOAL * PERCENT if engine == RBEE else None
        name = f"{engine}: of the memory's speed, {OTHER.name}"
        return Alone(name, "%", shares, goal, is_quiet=self._is_quiet(OTHER.name))

    def _is_quiet(self, case: str) -> bool:
        return median(self.disturbed[case]) <= DISTURBED_MAX


def measure(
    engines: Sequence[Child],
    texts: Texts,
    cases: Sequence[DecodeCase],
    reads: Mapping[str, Read],
    *,
    rounds: int,
    threads: int,
    has_prefill: bool,
    tries: int,
) -> Measured:
    """Measure all cases in so many rounds. Blocks for minutes."""
    found = Measured(reads)
    for engine in engines:  # the first run of each plans its memory
        engine.decode([texts.other(LAST_NUMBER)], WARM_TOKENS)
        engine.first_tokens(texts.plain(SHORT, LAST_NUMBER))
    for number in range(rounds):
        began_s = time.perf_counter()
        turned = [*engines[number % len(engines) :], *engines[: number % len(engines)]]
        numbers = range(number, rounds * tries, rounds)  # of its own prompts
        for case in cases:
            for engine in turned:
                _decode(found, engine, texts, case, numbers)
        if has_prefill:
            for engine in turned:
                _first(found, engine, texts, numbers)
        found.bandwidth.append(bandwidth.bytes_per_second(reads[RBEE].weights, threads))
        found.loads.append(os.getloadavg()[0])
        took_s = time.perf_counter() - began_s
        print(f"round {number + 1} of {rounds}: {took_s:.0f} s", file=sys.stderr, flush=True)
    return found


def _decode(
    found: Measured, engine: Child, texts: Texts, case: DecodeCase, numbers: Sequence[int]
) -> None:
    def ask(number: int) -> tuple[list[Prompt], Decoded]:
        prompts = case.prompts(texts, number)
        return prompts, engine.decode(prompts, case.count)

    prompts, decoded = _quietest(found, case.name, engine, ask, numbers)
    series = found.decode.setdefault(case.name, {})
    series.setdefault(engine.name, []).append(decoded.tokens_per_second)
    if not decoded.is_at_once:
        found.notes.add(f"{engine.name}: the streams of `{case.name}` did not run at once")
    if engine.name == RBEE and case.streams == 1:
        found.lengths.setdefault(case.name, []).append(len(prompts[0].tokens))
        share = repeated_share(prompts[0].tokens, decoded.answers[0])
        found.repeated.setdefault(case.name, []).append(share)


def _first(found: Measured, engine: Child, texts: Texts, numbers: Sequence[int]) -> None:
    def ask(number: int) -> FirstTokens:
        return engine.first_tokens(texts.plain(LONG, LAST_NUMBER + 1 + number))

    first = _quietest(found, PREFILL, engine, ask, numbers)
    found.first.setdefault(engine.name, []).append(first)
    if first.first_cached > CACHED_SHARE_MAX * LONG:
        found.notes.add(f"{engine.name}: a prompt that was to be computed was in the cache")


def _quietest(
    found: Measured,
    case: str,
    engine: Child,
    ask: Callable[[int], Told],
    numbers: Sequence[int],
) -> Told:
    """Ask until other work leaves the engine alone, and return the answer that it disturbed least.

    Each time has prompts of another number: those of the time before may be in a cache.
    """
    answers: list[tuple[float, Told]] = []
    for number in numbers:
        told = ask(number)
        answers.append((engine.disturbed, told))
        if engine.disturbed <= DISTURBED_MAX:
            break
    least, told = min(answers, key=itemgetter(0))
    print(f"  {case}: {engine.name}, disturbed {least:.0%}", file=sys.stderr, flush=True)
    found.disturbed.setdefault(case, []).append(least)
    return told
