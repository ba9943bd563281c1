"""The tables before there were migrations; a database that has them is used as it is.

They are repeated here and not imported from `tables.py`, because that file changes, and a migration must not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NAMES = sa.MetaData()

_TABLES = (
    sa.Table(
        "transfercast_observations", _NAMES,
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
    ),
    sa.Table(
        "transfercast_columns", _NAMES,
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("measure", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("better", sa.String(10), nullable=False),
        sa.Column("group", sa.String(50), nullable=False),
    ),
    sa.Table(
        "transfercast_steps", _NAMES,
        sa.Column("plan", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("heartbeat", sa.Float),
        sa.Column("optuna_number", sa.Integer),
    ),
)  # fmt: skip


def upgrade() -> None:
    """Make the missing tables."""
    for table in _TABLES:
        op.execute(sa.schema.CreateTable(table, if_not_exists=True))
