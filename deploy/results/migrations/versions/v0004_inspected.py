"""Version 4: which files of watched folders have their verdict."""

from __future__ import annotations

revision = "4"
down_revision = "3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    import sqlalchemy as sa
    from alembic import op

    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "inspected",
        sa.Column("camera", sa.String, primary_key=True),
        sa.Column("name", sa.LargeBinary, primary_key=True),
        sa.Column("size", long, nullable=False),
        sa.Column("modified_ns", long, nullable=False),
        sqlite_with_rowid=False,
    )
