"""What is told: its schema in the documentation is that of the models, and messages keep to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outgoing import defect, frame, gap, notice
from pydantic import ValidationError
from temper.deploy.publish.messages import (
    MODELS,
    TOPICS,
    FrameMessage,
    StateMessage,
    describe,
    encode,
    json_schemas,
    state,
    state_topic,
    topic,
    write_schemas,
)

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference" / "messages"


def test_the_documented_schemas_are_those_of_the_models(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    again = "run: python scripts/message_schemas.py"
    assert {path.name for path in FOLDER.iterdir()} == set(json_schemas()), again
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), again


@pytest.mark.parametrize("message", [frame(1), gap(2), defect(3), notice(4)], ids=lambda message: message.kind)
def test_every_kind_says_what_it_is(message) -> None:  # type: ignore[no-untyped-def]
    told = json.loads(encode(describe(message, "mill-2")))
    assert told["schema"] == 1 and told["key"] == message.key and told["line"] == "mill-2"
    read = MODELS[message.kind].model_validate(told)
    assert read.model_dump(by_alias=True, mode="json") == told


def test_an_unknown_field_is_no_part_of_the_schema() -> None:
    with pytest.raises(ValidationError, match="colour"):
        FrameMessage.model_validate(describe(frame(0, colour="grey"), "mill-2"))


def test_topics() -> None:
    assert [topic("temper", "mill-2", kind) for kind in TOPICS] == [
        "temper/mill-2/verdict",
        "temper/mill-2/gap",
        "temper/mill-2/defect",
        "temper/mill-2/notice",
    ]
    assert state_topic("plant/temper", "mill-2") == "plant/temper/mill-2/state"
    assert StateMessage.model_validate_json(state("mill-2", "offline")).state == "offline"


def test_what_json_cannot_say_is_not_told() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"score": float("nan")})
