"""What the parts of the robustness campaign share: its counts, tiny inputs, and commands in forked processes.

A process that has imported everything forks one child a command, so that a command takes a second and not twelve, and can
be killed at any moment of its own work.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.conftest import WORDS, sentences, write_csv

RECIPE = "full/lr=0.01/epochs=2/batch=8/tokens=16"
SOURCES = ("good", "help", "storm")
ROWS = {"train": 24, "validation": 12, "test": 12}
LONGEST = 120.0
"""Seconds after which a command counts as one that hangs."""


@dataclass
class Tally:
    """What the campaign counted.

    Attributes:
        cases: commands and requests whose outcome was checked.
        tracebacks: those that ended in a traceback or a report of something unforeseen.
        silent: those that succeeded although their input was wrong, or said nothing of a failure.
        hangs: those that did not end.
        kills: processes killed in the middle of a command.
        lost, repeated, orphans, left: observations that are missing, steps trained again although recorded, trials still
            running, and files or folders left behind, after the last start of a killed command.
        differing: results of killed commands that are not those of an unkilled one.
        requests, http_5xx: sent to the service, and answered with 5xx.
        p99_ms, rss_growth: of 50 clients: latency, and how the memory of the service grew.
        problems: one line each, for people.
        skipped: parts that could not run here, and why.
    """

    cases: int = 0
    tracebacks: int = 0
    silent: int = 0
    hangs: int = 0
    kills: int = 0
    lost: int = 0
    repeated: int = 0
    orphans: int = 0
    left: int = 0
    differing: int = 0
    requests: int = 0
    http_5xx: int = 0
    p99_ms: float | None = None
    rss_growth: float | None = None
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def problem(self, kind: str, what: str, count: int = 1) -> None:
        """Count `count` problems of a kind, and say which."""
        setattr(self, kind, getattr(self, kind) + count)
        self.problems.append(f"{kind}: {what}")
        print(f"  {kind}: {what}", flush=True)


def preload() -> None:
    """Import all that commands need, so that a forked child starts at once."""
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    for name in (
        "transfercast.cli", "torch", "transformers", "optuna", "xgboost", "sklearn.linear_model", "scipy.stats",
        "alembic.command",
        "transfercast.execution.search", "transfercast.features.extract", "transfercast.retraining.retrain",
        "transfercast.report.evaluation", "transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto",
    ):  # fmt: skip
        import_module(name)
    gc.collect()


@dataclass
class Child:
    """A command in a process of its own.

    Attributes:
        pid: its number.
        log: file of all that it printed.
        status: as `os.waitpid` has it, when it has ended.
    """

    pid: int
    log: Path
    status: int | None = None

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it ended."""
        until = time.monotonic() + seconds
        while self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.status = status
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(0.002)
        return True

    def kill(self) -> None:
        """Kill it and all that it started."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait(LONGEST)

    @property
    def killed(self) -> bool:
        """Whether it ended by a signal."""
        return self.status is not None and os.WIFSIGNALED(self.status)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs, or if it was killed."""
        return None if self.status is None or self.killed else os.WEXITSTATUS(self.status)

    @property
    def output(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""


def start(arguments: Sequence[str], folder: Path, log: Path, cache: Path | None = None) -> Child:
    """Begin a command of transfercast in a folder."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(pid, log)
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(file, stream)
        os.environ["XDG_CACHE_HOME"] = str(cache or log.parent / "cache")
        sys.argv = ["transfercast", *arguments]
        from transfercast.cli import app

        app(list(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        os._exit(code)


def done(arguments: Sequence[str], folder: Path, log: Path, cache: Path | None = None) -> Child:
    """A command run to its end."""
    child = start(arguments, folder, log, cache)
    if not child.wait(LONGEST):
        child.kill()
    return child


def well(arguments: Sequence[str], folder: Path, log: Path, cache: Path | None = None) -> Child:
    """A command that must end well: inputs of the campaign itself."""
    child = done(arguments, folder, log, cache)
    if child.code != 0:
        raise SystemExit(f"transfercast {' '.join(arguments)}: {child.output}")
    return child


def judge(child: Child, what: str, tally: Tally, expected: Sequence[int]) -> None:
    """Count a command that was not killed: its exit code, tracebacks, reports, and whether it said why it failed."""
    tally.cases += 1
    said = child.output
    if child.code is None:
        tally.problem("hangs", what)
    elif "Traceback" in said or "unforeseen" in said:
        tally.problem("tracebacks", f"{what}: {last_line(said)}")
    elif child.code not in expected:
        tally.problem("silent", f"{what}: exit code {child.code}, not {' or '.join(map(str, expected))}: {last_line(said)}")
    elif child.code and len(re.findall("^error: ", said, re.MULTILINE)) != 1:
        tally.problem("silent", f"{what}: not one line of error: {last_line(said)}")


def last_line(text: str) -> str:
    """The last line that is not blank, cut."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing"


def leftovers(folder: Path) -> list[str]:
    """Half-written files and folders below a folder, by the names that they have while they are written."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob(".*") if re.fullmatch(r"\..+\.[0-9a-f]{8,}(\.\w+)?", path.name)
    )


def make_inputs(folder: Path) -> None:
    """Everything that commands are run on: encoder, family, pool, table, plan, observations; all tiny."""
    _encoder(folder / "encoder")
    entries = []
    for number, cue in enumerate(SOURCES):
        for split, rows in ROWS.items():
            write_csv(folder / "family" / cue / f"{split}.csv", sentences(rows, cue, seed=10 * number + rows))
        entries.append(f'[[task]]\ntrain = "{cue}/train.csv"\nvalidation = "{cue}/validation.csv"\ntest = "{cue}/test.csv"\n')
    toml = 'kind = "binary"\ntarget_rows = { train = 12 }\n\n' + "\n".join(entries)
    (folder / "family" / "tasks.toml").write_text(toml, encoding="utf-8")
    log = folder / "log"
    well(fit_sources(folder), folder, log)
    well(features(folder), folder, log)
    _transfers(folder / "transfers.csv")


def fit_sources(inputs: Path) -> list[str]:
    """The command that makes the pool, in the folder where it is run."""
    return [
        "fit-sources",
        f"{inputs}/family/tasks.toml",
        "--pool",
        "pool",
        "--encoder",
        f"{inputs}/encoder",
        "--recipe",
        RECIPE,
    ]


def features(inputs: Path) -> list[str]:
    """The command that makes the table of the pool in the folder where it is run."""
    only = [part for name in ("logme", "single_task", "nearest_neighbours", "task_emb") for part in ("--only", name)]
    return ["features", "pool", f"{inputs}/family/tasks.toml", "--recipe", RECIPE, "--documents", "2", *only]


def _encoder(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing", ".", ",", "!"]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


def _transfers(path: Path, targets: int = 40, sources: int = 50) -> None:
    """Observations of a made-up history: 2,000 transfers and 40 targets alone."""
    lines = ["source,target,score,encoder,logme"]
    for t in range(targets):
        lines.append(f"(alone),t{t},{0.4 + t / 400},e,")
        lines += [f"s{s},t{t},{0.4 + t / 400 + (s * 7 % 50) / 200},e,{(s * 7 + t) % 50 / 50}" for s in range(sources)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def small_disk(folder: Path, size: int | None) -> Iterator[None]:
    """A folder on a disk of so many bytes (None: enough); needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size or 2**28}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remounted(folder: Path, options: str) -> None:
    """Change a small disk: `size=...`, `ro`, `rw`."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def may_mount() -> bool:
    """Whether this process may mount disks."""
    if os.geteuid() != 0:
        return False
    probe = Path("/tmp") / f"tc-probe-{os.getpid()}"
    probe.mkdir()
    try:
        with small_disk(probe, 4096):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    finally:
        probe.rmdir()
