"""A real PostgreSQL for the tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from temper.core.errors import MissingDependencyError
from temper.deploy.drill.postgres import Postgres, own_postgres

__all__ = ["Postgres", "postgres"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; ``from postgres import postgres`` in the test's file."""
    try:
        with own_postgres() as server:
            yield server
    except MissingDependencyError as error:
        pytest.skip(str(error))
