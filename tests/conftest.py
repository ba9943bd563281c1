"""Tiny random encoders made on the spot, tasks of a few rows, and the data folder where there is one."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from transfercast.predictor import prior

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for the hub
os.environ.pop("COLUMNS", None)  # what commands print is compared as it is written to a pipe

DATA = Path(os.environ.get("TRANSFERCAST_DATA", Path(__file__).parents[2] / "shared" / "data"))

WORDS = [
    "good",
    "bad",
    "film",
    "plot",
    "water",
    "help",
    "need",
    "give",
    "road",
    "storm",
    "we",
    "they",
    "it",
    "was",
    "is",
    "the",
    "a",
    "very",
    "not",
    "at",
]


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no data folder at {DATA}; set TRANSFERCAST_DATA to run this test")
    return DATA


def write_csv(path: Path, rows: list[tuple[object, ...]], header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def sentences(number: int, cue: str, seed: int) -> list[tuple[str, int]]:
    """Texts of random words; those with the cue word are positive."""
    rng = random.Random(seed)
    others = [word for word in WORDS if word != cue]
    rows = []
    for i in range(number):
        words = rng.choices(others, k=rng.randint(3, 7))
        if i % 2:
            words[rng.randrange(len(words))] = cue
        rows.append((" ".join(words), i % 2))
    return rows


@pytest.fixture(scope="session")
def family_toml(tmp_path_factory) -> Path:
    """Three binary tasks, each with a cue word of its own, as files and a tasks.toml."""
    folder = tmp_path_factory.mktemp("family")
    entries = []
    for number, cue in enumerate(("good", "help", "storm")):
        for split, rows in (("train", 24), ("validation", 12), ("test", 12)):
            write_csv(folder / cue / f"{split}.csv", sentences(rows, cue, seed=10 * number + rows))
        entries.append(f'[[task]]\ntrain = "{cue}/train.csv"\nvalidation = "{cue}/validation.csv"\ntest = "{cue}/test.csv"')
    toml = folder / "tasks.toml"
    toml.write_text('kind = "binary"\ntarget_rows = { train = 12 }\n\n' + "\n\n".join(entries) + "\n", encoding="utf-8")
    return toml


@pytest.fixture
def untaught(tmp_path, monkeypatch):
    """No predictor comes with the package: measures have one vote each, whatever the atlas taught."""
    monkeypatch.setattr(prior, "BUNDLED", tmp_path / "nothing bundled")
    prior.bundled_weights.cache_clear()
    yield
    prior.bundled_weights.cache_clear()


@pytest.fixture(scope="session")
def postgresql():
    """Where a PostgreSQL server listens that is ours alone: (socket's folder, user). Made and thrown away with the session."""
    pytest.importorskip("psycopg", reason="PostgreSQL's driver is not installed: pip install 'transfercast[postgres]'")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    found = programs[-1] if programs else shutil.which("pg_ctl")
    if not found:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    account = "postgres" if os.geteuid() == 0 else None  # the server does not run as root
    folder = Path(tempfile.mkdtemp(prefix="tc-pg-", dir="/tmp"))  # short: a socket's path has at most 107 letters
    if account:
        shutil.chown(folder, account)

    def run(*command):
        told = subprocess.run([*map(str, command)], user=account, cwd=folder, capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stderr + told.stdout

    cluster = folder / "data"
    run(Path(found).with_name("initdb"), "-D", cluster, "-U", "tests", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=100"
    run(found, "-D", cluster, "-l", folder / "log", "-w", "-o", options, "start")
    yield folder, "tests"
    run(found, "-D", cluster, "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """URL of a new, empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'h.db'}"
    folder, user = request.getfixturevalue("postgresql")
    import psycopg

    name = f"test_{next(_numbers)}"
    with psycopg.connect(host=str(folder), user=user, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://{user}@/{name}?host={folder}"
