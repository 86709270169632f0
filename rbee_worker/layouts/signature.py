"""What a graph's inputs and outputs ask for, and by that how its KV cache can be held. Pure.

`own`     the layout of our converter: lengths and wanted logits are inputs, one shared buffer
`shared`  grouped-query attention writes keys and values in place; the mask says how many there are
`compat`  any other decoder: what a run puts out as present goes into the next as past; slower
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from rbee_shared.errors import UnimplementedError
from rbee_worker.layouts.graph_file import GraphFile, Value

OWN_INPUTS = frozenset({"input_ids", "seqlens_k", "total_len", "logit_pos"})
HUB_INPUTS = frozenset({"input_ids", "attention_mask", "position_ids", "num_logits_to_keep"})
PAST = re.compile(r"past_key_values\.(\d{1,4})\.(key|value)")
LOGITS = "logits"
HIDDEN = "hidden_states"
FLOAT_KINDS = {"float": "float32", "float16": "float16"}
OWN_CACHE_KINDS = {**FLOAT_KINDS, "int8": "int8"}  # its scales are in the graph
INTEGER_KINDS = {"int64": "int64", "int32": "int32"}
RANKS = {"input_ids": 2, "attention_mask": 2, "position_ids": 2, "num_logits_to_keep": 0, HIDDEN: 3}
CACHE_RANK = 4  # batch, heads, tokens, numbers
PAST_KEY, PAST_VALUE = 3, 4  # inputs of GroupQueryAttention
NAMES_SHOWN_MAX = 5


class LayoutUnsupportedError(UnimplementedError):
    """A model is of a form that is not known here."""

    reason = "LAYOUT_UNSUPPORTED"
    hint = "language models in the layouts of onnxruntime-genai and transformers.js are known"


class Style(Enum):
    """How a graph's KV cache is held."""

    OWN = "own"
    SHARED = "shared"
    COMPAT = "compat"


class Told(Enum):
    """For which tokens of a run a graph puts out logits."""

    ASKED = "asked"
    ALL = "all"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a graph declares.

    `kinds` are the numpy types of its inputs besides the caches; `caches` are the names of past and
    present, keys before values, layer by layer. A size is None where the graph leaves it free;
    `has_hidden` says that it puts out what the last layer makes of each token, in float32.
    """

    style: Style
    kinds: Mapping[str, str]
    caches: tuple[tuple[str, str], ...]
    cache_kind: str
    kv_heads: int | None
    head_dim: int | None
    vocab_size: int | None
    logits: Told
    has_hidden: bool
    hidden_size: int | None

    @property
    def layers(self) -> int:
        """How many layers keep keys and values."""
        return len(self.caches) // 2


def signature_of(graph: GraphFile) -> Signature:
    """Read what a graph declares.

    Raises:
        LayoutUnsupportedError: it asks for what is not known here, by name.
    """
    inputs = {each.name: each for each in graph.inputs}
    pasts = [name for name in inputs if PAST.fullmatch(name)]
    others = inputs.keys() - set(pasts)
    is_own = "seqlens_k" in others
    _check_names(others, is_own=is_own)
    caches = tuple(_caches(len(pasts) // 2))
    missing = {past for past, _ in caches} ^ set(pasts)
    outputs = {each.name: each for each in graph.outputs}
    missing |= {name for name in (LOGITS, *(each for _, each in caches)) if name not in outputs}
    if missing or not caches:
        raise _unsupported("caches are not whole", missing or {"past_key_values"})
    kinds = {name: _kind(inputs[name], INTEGER_KINDS) for name in sorted(others)}
    pasts_known = OWN_CACHE_KINDS if is_own else FLOAT_KINDS
    form = _cache_form([inputs[past] for past, _ in caches], pasts_known)
    cache_kind, kv_heads, head_dim = form
    logits = outputs[LOGITS]
    _kind(logits, FLOAT_KINDS)
    hidden = outputs.get(HIDDEN) if is_own else None
    checked = [inputs[name] for name in others & RANKS.keys()] + ([hidden] if hidden else [])
    _check_ranks([*checked, logits], is_own=is_own)
    return Signature(
        style=Style.OWN if is_own else _style(graph, caches, others),
        kinds=kinds,
        caches=caches,
        cache_kind=cache_kind,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=logits.sizes[-1],
        logits=_told(logits, others, is_own=is_own),
        has_hidden=hidden is not None and hidden.kind_name == "float",
        hidden_size=hidden.sizes[-1] if hidden else None,
    )


def _caches(layers: int) -> Iterator[tuple[str, str]]:
    for layer in range(layers):
        for part in ("key", "value"):
            yield f"past_key_values.{layer}.{part}", f"present.{layer}.{part}"


def _check_names(names: set[str], *, is_own: bool) -> None:
    known = OWN_INPUTS if is_own else HUB_INPUTS
    needed = OWN_INPUTS if is_own else {"input_ids"}
    if "use_cache_branch" in names:
        raise _unsupported(
            "inputs are of an old merged decoder",
            {"use_cache_branch"},
            "take the graph `onnx/model.onnx`, or a variant of it, that newer exports have",
        )
    if wrong := (names - known) | (needed - names):
        raise _unsupported("inputs are not known", wrong)


def _cache_form(
    values: list[Value], known: Mapping[str, str]
) -> tuple[str, int | None, int | None]:
    kinds = {_kind(each, known) for each in values}
    forms = {each.sizes[1::2] for each in values if len(each.sizes) == CACHE_RANK}
    if len(forms) != 1 or len(kinds) != 1 or any(len(e.sizes) != CACHE_RANK for e in values):
        raise _unsupported("caches are not all of one form", {values[0].name})
    heads, size = forms.pop()
    return kinds.pop(), heads, size


def _check_ranks(values: list[Value], *, is_own: bool) -> None:
    ranks = {**RANKS, LOGITS: 2 if is_own else 3}
    for value in values:
        if len(value.sizes) != ranks[value.name]:
            raise _unsupported(
                f"values of {len(value.sizes)} dimensions are not known", {value.name}
            )


def _kind(value: Value, known: Mapping[str, str]) -> str:
    if value.kind_name not in known:
        raise _unsupported(
            f"values of the type {value.kind_name} are not known",
            {value.name},
            "take a variant of the model in float32, float16, int8 or int4",
        )
    return known[value.kind_name]


def _told(logits: Value, others: set[str], *, is_own: bool) -> Told:
    if is_own or "num_logits_to_keep" in others:
        return Told.ASKED
    return Told.LAST if logits.sizes[-2] == 1 else Told.ALL


def _style(graph: GraphFile, caches: tuple[tuple[str, str], ...], others: set[str]) -> Style:
    if "attention_mask" not in others:
        return Style.COMPAT
    written = {
        (node.input[place], node.output[place - 2])
        for node in graph.main_nodes
        if node.op_type == "GroupQueryAttention"
        for place in (PAST_KEY, PAST_VALUE)
        if len(node.input) > place and len(node.output) > place - 2
    }
    uses = [name for node in graph.nodes for name in node.input if PAST.fullmatch(name)]
    # a past that something else looks at as well must be as long as it says
    in_place = written >= set(caches) and len(uses) == len(caches)
    return Style.SHARED if in_place else Style.COMPAT


def _unsupported(what: str, names: set[str], hint: str = "") -> LayoutUnsupportedError:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:NAMES_SHOWN_MAX])
    return LayoutUnsupportedError(f"the graph's {what}: {shown}", hint=hint)
