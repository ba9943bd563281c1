"""An index by target and source, for queries of observations."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the index."""
    op.create_index("transfercast_by_target", "transfercast_observations", ["target", "source"], if_not_exists=True)
