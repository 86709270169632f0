"""How much a constraint may cost, in one table.

The library's own limits bound a step, not the compilation: that is what the trial is for. Its
lexer is shared by all matchers of one compiled grammar and only grows, so uses are counted too.
"""

CONSTRAINT_CHARS_MAX = 65_536
CHOICES_MAX = 5_000
WHITESPACE_CHARS_MAX = 64  # between two parts of JSON; small models write it without end
MESSAGE_CHARS_MAX = 200  # of what the library says about a fault

# Compiling
TRIAL_START_S_MAX = 20.0
TRIAL_S_MAX = 0.5
TRIAL_MEMORY_BYTES_MAX = 1 << 30
TRIAL_STACK_BYTES = 2 << 20  # a quarter of what threads have that compile what passed
GRAMMARS_KEPT_MAX = 32
GRAMMAR_USES_MAX = 32  # then it is compiled anew

# The library's units of work
INITIAL_FUEL = 1_000_000  # about 20 ms
STEP_FUEL = 200_000  # about 15 ms
STEP_ITEMS_MAX = 20_000
ROW_ITEMS_MAX = 5_000  # four for each property that may be left out
LEXER_STATES_MAX = 50_000
GRAMMAR_SYMBOLS_MAX = 100_000

# Time of one processor core
STEP_S_MAX = 0.25
STEPS_S_MAX = 0.5  # of all steps of one answer together, besides the next
STEP_MEAN_S_MAX = 0.02
