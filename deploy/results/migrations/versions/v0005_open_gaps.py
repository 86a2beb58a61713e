"""Version 5: gaps that last, sides of the strip, and coils by the order in which things were stored."""

from __future__ import annotations

from typing import Any

revision = "5"
down_revision = "4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and fill in what the log of events tells of older rows."""
    import sqlalchemy as sa
    from alembic import op

    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("frame", sa.Column("side", sa.String))
    op.add_column("defect", sa.Column("side", sa.String))
    for name in ("opened_event", "closed_event"):
        op.add_column("gap", sa.Column(name, long))
    for name in ("started_event", "ended_event"):
        op.add_column("coil", sa.Column(name, long))
    for name in ("ended", "started_event", "ended_event"):
        op.create_index(f"ix_coil_{name}", "coil", [name])
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":  # the plant's database has no events
        _fill(sa, connection)


def _fill(sa: Any, connection: Any) -> None:
    """Up to version 4 a gap was told when it had ended, and a coil was known by its moments alone."""
    told = connection.execute(sa.text("SELECT id, run_id, number FROM event WHERE kind = 'gap'")).mappings().all()
    if told:
        statement = "UPDATE gap SET closed_event = :id WHERE run_id = :run_id AND number = :number"
        connection.execute(sa.text(statement), [dict(row) for row in told])
    newest = connection.execute(sa.text("SELECT coalesce(max(id), 0) FROM event")).scalar_one()
    # the index on the time finds the first event of a moment
    first = sa.text("SELECT min(id) FROM event WHERE time >= :moment")
    for coil in connection.execute(sa.text("SELECT id, started, ended FROM coil")).mappings().all():
        marks = {}
        for column, moment in (("started_event", coil["started"]), ("ended_event", coil["ended"])):
            following = None if moment is None else connection.execute(first, {"moment": moment}).scalar_one()
            marks[column] = None if moment is None else newest if following is None else following - 1
        statement = "UPDATE coil SET started_event = :started_event, ended_event = :ended_event WHERE id = :id"
        connection.execute(sa.text(statement), {**marks, "id": coil["id"]})
