"""One claim a file: python -m benchmarks.NAME; the last line printed is JSON. Committed figures are in results/."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_mb(status: Path = Path("/proc/self/status")) -> float:
    """Largest resident memory of a process so far, by default of this one.

    On Linux from the process's own status: `ru_maxrss` of a process that was started by a larger one tells the larger one's.
    """
    if status.is_file():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
