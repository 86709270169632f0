"""Compiling a grammar for a vocabulary, up to the first mask."""

from typing import Any

import llguidance

from rbee_worker.constraints import limits

library: Any = llguidance

SILENT = 0


def compiled(vocabulary: Any, grammar: str) -> tuple[Any, str]:
    """Return the library's matcher, and what is wrong with the grammar, if anything. Blocking."""
    matcher = library.LLMatcher(vocabulary, grammar, log_level=SILENT, limits=_limits())
    if not matcher.is_error():
        matcher.compute_bitmask()
    if matcher.is_error():
        error = str(matcher.get_error())
        return (
            matcher,
            error if "NoExtension" not in error else "unsatisfiable, for no text matches",
        )
    # what would be ignored in silence is refused: a schema within a grammar may ask for that
    return matcher, "; ".join(matcher.get_grammar_warnings())


def _limits() -> Any:
    return library.LLParserLimits(
        initial_lexer_fuel=limits.INITIAL_FUEL,
        step_lexer_fuel=limits.STEP_FUEL,
        step_max_items=limits.STEP_ITEMS_MAX,
        max_items_in_row=limits.ROW_ITEMS_MAX,
        max_lexer_states=limits.LEXER_STATES_MAX,
        max_grammar_size=limits.GRAMMAR_SYMBOLS_MAX,
        verbose_errors=False,
    )
