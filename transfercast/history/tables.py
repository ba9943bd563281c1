"""The SQL tables. All are prefixed, so that they can share a database with Optuna, which owns `alembic_version`.

A change here needs a migration in `migrations/versions`; a test compares the tables of the migrations with these.
"""

from __future__ import annotations

import sqlalchemy as sa

PREFIX = "transfercast_"
VERSION_TABLE = f"{PREFIX}alembic_version"
HEAD = "0004"

METADATA = sa.MetaData()

OBSERVATIONS = sa.Table(
    "transfercast_observations",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_key", sa.String(64), nullable=False, unique=True),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("target", sa.String(100), nullable=False),
    sa.Column("recipe", sa.String(200), nullable=False),
    sa.Column("encoder", sa.String(200), nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("metric", sa.String(50), nullable=False),
    sa.Column("split", sa.String(20), nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("hours", sa.Float, nullable=False),
    sa.Column("device", sa.String(50), nullable=False),
    sa.Column("finished_at", sa.String(40), nullable=False),
    sa.Column("source_fingerprint", sa.String(64), nullable=False),
    sa.Column("target_fingerprint", sa.String(64), nullable=False),
    sa.Column("features", sa.JSON, nullable=False),
    sa.Column("versions", sa.JSON, nullable=False, server_default="{}"),  # of the measures, by feature
    sa.Index("transfercast_by_target", "target", "source"),
)

TRAININGS = sa.Table(
    "transfercast_trainings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_key", sa.String(64), nullable=False, index=True),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("target", sa.String(100), nullable=False),
    sa.Column("recipe", sa.String(200), nullable=False),
    sa.Column("encoder", sa.String(200), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.String(10), nullable=False),  # finished, stopped, failed
    sa.Column("why", sa.String(500), nullable=False),
    sa.Column("curve", sa.JSON, nullable=False),  # [score, loss, seconds, average precision] an epoch
    sa.Column("epoch", sa.Integer),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("peak_mb", sa.Float),
    sa.Column("device", sa.String(50), nullable=False),
    sa.Column("finished_at", sa.String(40), nullable=False),
)

COLUMNS = sa.Table(
    "transfercast_columns",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("measure", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("better", sa.String(10), nullable=False),
    sa.Column("group", sa.String(50), nullable=False),
)

STEPS = sa.Table(
    "transfercast_steps",
    METADATA,
    sa.Column("plan", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),  # planned, running, done, failed
    sa.Column("owner", sa.String(200)),
    sa.Column("heartbeat", sa.Float),  # seconds since the epoch, renewed while running
    sa.Column("optuna_number", sa.Integer),
)
