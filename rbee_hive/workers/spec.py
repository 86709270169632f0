"""What a worker is started with: its terms, its command line, its environment. Pure."""

from dataclasses import dataclass, replace
from pathlib import Path

from rbee_hive.workers.admission import Grant

# ONNX Runtime has the cores that are granted; every other library, which would start a thread for
# each core of the machine, computes in the thread that calls it
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker is started with. `keep_alive_s` negative: lives on idle for ever."""

    id: str
    model: str
    alias: str
    folder: Path
    socket: Path
    grant: Grant
    context_length: int
    keep_alive_s: float

    def arguments(self) -> list[str]:
        """Return the command line of its process."""
        return [
            *("--id", self.id, "--model", str(self.folder), "--listen", f"unix:{self.socket}"),
            *("--device", self.grant.device, "--threads", str(max(1, self.grant.cores))),
            *("--slots", str(self.grant.slots), "--context", str(self.context_length)),
        ]

    def narrowed(self, slots: int) -> "Spec":
        """Return it for a worker that uses so many slots; what it holds for more is given back.

        A worker says how many it uses: a graph may allow no more than one. 0: it did not say.
        """
        if not 0 < slots < self.grant.slots:
            return self
        return replace(self, grant=self.grant.narrowed(slots))
