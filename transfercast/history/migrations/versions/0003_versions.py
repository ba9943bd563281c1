"""The version of each feature's measure, so that one history can hold features of several versions.

Before this migration a history had one version for each column. Existing features take the column's present version.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column and fill it."""
    op.add_column("transfercast_observations", sa.Column("versions", sa.JSON, nullable=False, server_default="{}"))
    connection = op.get_bind()
    version_of = {
        row.name: row.version for row in connection.execute(sa.text("SELECT name, version FROM transfercast_columns"))
    }
    rows = connection.execute(sa.text("SELECT id, CAST(features AS TEXT) AS features FROM transfercast_observations")).all()
    filled = [{"number": row.id, "versions": _versions(row.features, version_of)} for row in rows]
    if filled:
        value = "CAST(:versions AS JSON)" if connection.dialect.name == "postgresql" else ":versions"
        connection.execute(sa.text(f"UPDATE transfercast_observations SET versions = {value} WHERE id = :number"), filled)


def _versions(features: str, version_of: dict[str, int]) -> str:
    try:
        names = json.loads(features)
    except (ValueError, RecursionError):  # damaged; reading the row reports it
        return "{}"
    return json.dumps({name: version_of[name] for name in names if name in version_of} if isinstance(names, dict) else {})
