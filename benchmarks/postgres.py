"""A PostgreSQL server of one's own, in a temporary folder, reached by a socket there; nothing of it stays."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "transfercast"
_numbers = itertools.count()


def programs() -> Path | None:
    """Folder of the newest server's programs, as Debian installs them; None where there is none, or no driver."""
    if importlib.util.find_spec("psycopg") is None:
        return None
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else None if on_path is None else Path(on_path).parent


@contextmanager
def server(binaries: Path) -> Iterator[Callable[[], str]]:
    """Start a server; gives a function that makes a new, empty database and returns its URL."""
    import psycopg

    account = "postgres" if os.geteuid() == 0 else None  # the server does not run as root
    folder = Path(tempfile.mkdtemp(prefix="tc-pg-", dir="/tmp"))  # a socket's path has at most 107 letters
    if account:
        shutil.chown(folder, account)

    def run(*command: str | Path) -> None:
        ended = subprocess.run([*map(str, command)], user=account, cwd=folder, capture_output=True, text=True, timeout=60)
        if ended.returncode != 0:
            raise SystemExit(ended.stderr + ended.stdout)

    def database() -> str:
        name = f"d{next(_numbers)}"
        with psycopg.connect(host=str(folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@/{name}?host={folder}"

    cluster = folder / "data"
    run(binaries / "initdb", "-D", cluster, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=100"
    run(binaries / "pg_ctl", "-D", cluster, "-l", folder / "log", "-w", "-o", options, "start")
    try:
        yield database
    finally:
        run(binaries / "pg_ctl", "-D", cluster, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
