"""The limits of a transfer, in one table that tests can make small."""

from dataclasses import dataclass

from rbee_shared.limits import KIB, MIB

REDIRECTS_MAX = 5
RETRY_AFTER_S_MAX = 300.0  # a source that wants more is as good as away
READ_BYTES = 256 * KIB  # of a file that is hashed, at a time
PIECES_A_LANE = 4  # so that connections of one file end at about the same time


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient, how wide and how fine a fetcher is.

    Attributes:
        stall_s: without a byte, after which a request has failed.
        connect_s: for a connection to come up.
        retries_max: after failures in a row that brought no byte.
        retry_s: before the first retry; doubles with each.
        connections_max: in all.
        host_connections_max: to one source.
        files_open_max: fetched side by side.
        piece_bytes: asked for at a time, at least.
        piece_bytes_max: and at most: a large file is asked for in fewer and larger pieces.
        direct_bytes_min: of an answer that are read past HTTP, at the price of the connection,
        direct_bytes_per_s_min: if it comes at least so fast: far away, connections are dear.
        direct_look_bytes: after which it is known how fast.
        block_bytes: held for each connection before they are written; a kill loses no more.
        block_s: how long they are held at most while bytes come.
        tell_interval_s: between two tellings of progress, at least.
        tell_interval_s_max: and at most: that nothing comes is told, too.
        lock_interval_s: between two looks whether another process is done with a part.
    """

    stall_s: float = 60.0
    connect_s: float = 10.0
    retries_max: int = 6
    retry_s: float = 0.1
    connections_max: int = 8
    host_connections_max: int = 4
    files_open_max: int = 8
    piece_bytes: int = 8 * MIB
    piece_bytes_max: int = 64 * MIB
    direct_bytes_min: int = 4 * MIB
    direct_bytes_per_s_min: int = 100_000_000
    direct_look_bytes: int = MIB
    block_bytes: int = MIB
    block_s: float = 0.25
    tell_interval_s: float = 0.1
    tell_interval_s_max: float = 1.0
    lock_interval_s: float = 0.2
