"""The script that Alembic runs, on the connection of the store and with our own version table.

The database may also hold the tables of Optuna, which owns `alembic_version`; tables that are not ours are not touched.
"""

from __future__ import annotations

from alembic import context

from transfercast.history.tables import METADATA, PREFIX, VERSION_TABLE


def ours(name: str | None, kind: str, parents: object) -> bool:
    """Whether a table is one of ours."""
    return kind != "table" or (name or "").startswith(PREFIX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    include_name=ours,
)
with context.begin_transaction():
    context.run_migrations()
