"""Tables of lines: keys that are the same everywhere, gaps, defects of the strip, coils, and the log of events.

Up to version 2 there was SQLite alone, with keys counted in the file; such tables are moved over. On an empty
database this makes all tables.
"""

from __future__ import annotations

import uuid
from typing import Any

revision = "3"
down_revision = None
branch_labels = None
depends_on = None

_STAGES = (
    "decode_ms",
    "preprocess_ms",
    "host_to_device_ms",
    "compute_ms",
    "device_to_host_ms",
    "postprocess_ms",
    "end_to_end_ms",
)


def upgrade() -> None:
    """Make the tables, and fill them from those of version 2 where they are there."""
    import sqlalchemy as sa
    from alembic import op

    connection = op.get_bind()
    old = connection.dialect.name == "sqlite" and "frame" in sa.inspect(connection).get_table_names()
    if old:
        op.execute("DROP INDEX IF EXISTS frame_verdict")
        op.execute("DROP INDEX IF EXISTS ix_detection_frame_id")
        # references follow a renamed table: old rows keep pointing at old rows
        for table in ("run", "frame", "detection"):
            op.rename_table(table, f"old_{table}")
    _make_run_tables(sa, op)
    _make_line_tables(sa, op)
    if old:
        _move(sa, connection)
        for table in ("detection", "frame", "run"):
            op.drop_table(f"old_{table}")


def _make_run_tables(sa: Any, op: Any) -> None:
    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    keyed = {"sqlite_with_rowid": False}
    words = ("bundle", "manifest_sha256", "variant", "runtime", "runtime_version", "source", "cameras", "started")
    op.create_table(
        "run",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("line", sa.String),
        *(sa.Column(name, sa.String, nullable=False) for name in words),
        sa.Column("finished", sa.String),
        sa.Column("ended_by", sa.String),
    )
    op.create_table(
        "frame",
        sa.Column("run_id", sa.String, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("number", long, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("frame_id", long),
        sa.Column("exposed", sa.String),
        sa.Column("time", sa.String, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("timestamp_ms", "position_m", "length_m")),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("verdict", sa.String, nullable=False),
        *(sa.Column(name, sa.String) for name in ("cause", "detail", "picture", "full_picture")),
        sa.Column("picture_bytes", long),
        *(sa.Column(name, sa.Double) for name in ("transfer_ms", "queue_ms", *_STAGES, "latency_ms")),
        **keyed,
    )
    op.create_index("frame_verdict", "frame", ["run_id", "verdict"])
    op.create_index("frame_exposed", "frame", ["exposed"])
    kept = sa.text("picture_bytes IS NOT NULL")
    op.create_index("frame_picture", "frame", ["time", "picture_bytes"], sqlite_where=kept, postgresql_where=kept)
    op.create_table(
        "detection",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("frame_number", long, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", sa.String, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("score", "x1", "y1", "x2", "y2")),
        sa.ForeignKeyConstraint(["run_id", "frame_number"], ["frame.run_id", "frame.number"]),
        **keyed,
    )


def _make_line_tables(sa: Any, op: Any) -> None:
    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    keyed = {"sqlite_with_rowid": False}
    op.create_table(
        "gap",
        sa.Column("run_id", sa.String, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("camera", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("until", sa.String),
        sa.Column("frames", long),
        sa.Column("position_m", sa.Double),
        sa.Column("length_m", sa.Double),
        sa.Column("cause", sa.String, nullable=False),
        **keyed,
    )
    op.create_index("gap_since", "gap", ["since"])
    op.create_table(
        "defect",
        sa.Column("run_id", sa.String, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("number", long, primary_key=True, autoincrement=False),
        sa.Column("time", sa.String, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("severity", sa.String, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("position_m", "across_mm", "length_mm", "width_mm")),
        sa.Column("first_frame", long, nullable=False),
        sa.Column("last_frame", long, nullable=False),
        sa.Column("cut", sa.Boolean, nullable=False),
        sa.Column("repeat_m", sa.Double),
        **keyed,
    )
    op.create_index("ix_defect_time", "defect", ["time"])
    op.create_table(
        "coil",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("line", sa.String),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("ended", sa.String),
        sa.Column("position_m", sa.Double),
    )
    op.create_index("ix_coil_name", "coil", ["name"])
    op.create_table(
        "event",
        sa.Column("id", long, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("run_id", "kind")),
        sa.Column("number", long, nullable=False),
        sa.Column("time", sa.String, nullable=False),
        sa.Column("body", sa.String),
        sqlite_autoincrement=True,
    )
    op.create_index("event_time", "event", ["time"])
    op.create_table(
        "cursor", sa.Column("sink", sa.String, primary_key=True), sa.Column("event_id", long, nullable=False)
    )


def _move(sa: Any, connection: Any) -> None:
    """The rows of version 2. Until then a cause was a sentence, and each an error of reading or running."""
    for (number,) in connection.execute(sa.text("SELECT id FROM old_run ORDER BY id")).all():
        values = {"key": str(uuid.uuid4()), "number": number}
        words = "bundle, manifest_sha256, variant, runtime, runtime_version, source, started, finished, ended_by"
        connection.execute(
            sa.text(
                f"INSERT INTO run (id, number, cameras, {words}) "
                f"SELECT :key, id, '', {words} FROM old_run WHERE id = :number"
            ),
            values,
        )
        same = ", ".join(("source", "time", "timestamp_ms", "width", "height", "verdict", "picture", *_STAGES))
        connection.execute(
            sa.text(
                f"INSERT INTO frame (run_id, number, camera, cause, detail, {same}) "
                "SELECT :key, frame_index, 'files', CASE WHEN cause IS NULL THEN NULL ELSE 'error' END, cause, "
                f"{same} FROM old_frame WHERE run_id = :number ORDER BY frame_index"
            ),
            values,
        )
        connection.execute(
            sa.text(
                "INSERT INTO detection (run_id, frame_number, number, label, score, x1, y1, x2, y2) "
                "SELECT :key, frame_index, row_number() OVER (PARTITION BY frame_id ORDER BY d.id) - 1, "
                "label, score, x1, y1, x2, y2 FROM old_detection AS d JOIN old_frame AS f ON f.id = d.frame_id "
                "WHERE f.run_id = :number"
            ),
            values,
        )
