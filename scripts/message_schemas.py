"""Write docs/reference/messages/*.schema.json anew, after a change of deploy/publish/messages.py."""

from __future__ import annotations

from pathlib import Path

from temper.deploy.publish.messages import write_schemas

if __name__ == "__main__":
    write_schemas(Path(__file__).resolve().parents[1] / "docs" / "reference" / "messages")
