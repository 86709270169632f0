"""Every bound of the edges, in one table. Reaching one is an answer, never memory."""

KIB = 1024
MIB = 1024 * KIB

# Messages and calls
MESSAGE_BYTES_MAX = 16 * MIB
METADATA_BYTES_MAX = 16 * KIB
STATUS_TEXT_LENGTH_MAX = 500  # of an error's message and hint; all must fit into the metadata
CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 10.0  # of a unary call that nobody gave a deadline
KEEPALIVE_S = 10.0
PING_TIMEOUT_S = 5.0  # without it a frozen peer is noticed after 60 s
RECONNECT_S = 0.1
RECONNECT_S_MAX = 0.5
GRACE_S = 2.0  # for running calls when a server stops

EMBEDDINGS_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * KIB  # all vectors of an answer, and what is around

# Jobs
JOBS_RUNNING_MAX = 1_000
JOBS_KEPT_MAX = 1_000  # ended ones
JOB_KEPT_S = 3_600.0
HOUR_S = 3_600.0
JOB_TIMEOUT_S = {  # by operation, if nobody says; and the most that can be asked for
    "infer": (HOUR_S, 24 * HOUR_S),
    "embed": (HOUR_S, 24 * HOUR_S),  # may pull the model first, as `infer` may
    "model_download": (24 * HOUR_S, 7 * 24 * HOUR_S),
    "model_verify": (24 * HOUR_S, 7 * 24 * HOUR_S),  # may fetch what is damaged
    "model_import": (24 * HOUR_S, 7 * 24 * HOUR_S),
    "model_prune": (HOUR_S, 24 * HOUR_S),
    "worker_spawn": (24 * HOUR_S, 7 * 24 * HOUR_S),  # may pull the model first
}
JOB_TIMEOUT_S_DEFAULT = (60.0, HOUR_S)
LEASE_S_MAX = 24 * HOUR_S
HIVE_LEASE_S = 15.0  # a hive keeps a job without a watcher for so long
CANCEL_TIMEOUT_S = 2.0  # for telling the queen
CANCEL_WAIT_S = 0.2  # for a hive to take it; a job whose hive is away ends for its user anyway

# The queen's journal
JOURNAL_KEPT_S = 7 * 24 * 3_600.0  # a job and its story, without the text of answers
JOURNAL_BYTES_MAX = 256 * MIB
JOURNAL_BATCH_JOBS_MAX = 64  # of one transaction
JOURNAL_RETRY_S = 1.0
JOURNAL_TIDY_S = 60.0
JOURNAL_CLOSE_S_MAX = 5.0
TEXT_KEPT_S = 3_600.0  # of an answer, after its job has ended

# One job's log
NARRATIONS_MAX = 10_000
MERGED_TOKENS_MAX = 256
BATCH_EVENTS_MAX = 256
BATCH_BYTES_MAX = 256 * KIB

# Streams
BOOKMARK_S = 5.0  # a stream with nothing to say says so
SILENCE_S_MAX = 20.0  # a stream that does not is broken
PAUSE_S_MAX = 0.1
SNAPSHOT_INTERVAL_S = 1.0

# Child processes
LINE_BYTES_MAX = 64 * KIB
LINES_KEPT_MAX = 1_000
DRAIN_S_MAX = 1.0  # for the last lines of a child that has ended
START_TIMEOUT_S = 20.0  # of a daemon, to its ready line
STOP_GRACE_S = 10.0  # between SIGTERM and SIGKILL
LOG_BYTES_MAX = 10 * MIB

# What people write
PROMPT_CHARS_MAX = 1_000_000
MESSAGES_MAX = 1_000
TOOLS_MAX = 128
EMBED_INPUTS_MAX = 2_048
NAME_LENGTH_MAX = 63
REFERENCE_LENGTH_MAX = 512
ALIASES_MAX = 200
JOB_ID_LENGTH_MAX = 64
PAGE_SIZE = 100
PAGE_SIZE_MAX = 1_000
