"""Records of trainings, epoch by epoch, in a table beside the observations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "transfercast_trainings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_key", sa.String(64), nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("recipe", sa.String(200), nullable=False),
        sa.Column("encoder", sa.String(200), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.String(10), nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("epoch", sa.Integer),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("peak_mb", sa.Float),
        sa.Column("device", sa.String(50), nullable=False),
        sa.Column("finished_at", sa.String(40), nullable=False),
    )
    op.create_index("ix_transfercast_trainings_run_key", "transfercast_trainings", ["run_key"])
