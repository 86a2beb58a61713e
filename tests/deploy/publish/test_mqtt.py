"""Against a real mosquitto: killed while messages flow, away at the start, with passwords, with TLS."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import Broker, broker, free_port, needs_mosquitto, with_password, with_tls
from certificates import Certificates, make_certificates
from outgoing import RUN, MemoryLog, defect, eventually, frame, gap, notice, running
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from temper.core.errors import UsageError
from temper.deploy.publish.messages import MODELS, StateMessage
from temper.deploy.publish.mqtt import MqttSink
from temper.deploy.publish.settings import MqttSettings, Secret
from temper.deploy.publish.sink import SinkRefused

pytestmark = needs_mosquitto


class Subscriber:
    """What a plant's own program would be: a session that the broker keeps while it is away."""

    def __init__(self, port: int, topic: str = "temper/#") -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._topic, self._ready = topic, threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="plant", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port, keepalive=5)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _hear(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, json.loads(message.payload)))

    def messages(self) -> list[dict[str, Any]]:
        """What came, each once, in the order of the first arrivals."""
        return list({body["key"]: body for _, body in list(self.heard) if "key" in body}.values())[:]

    def states(self) -> list[str]:
        return [body["state"] for topic, body in list(self.heard) if topic.endswith("/state")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def subscriber(port: int) -> Iterator[Subscriber]:
    made = Subscriber(port)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path / "broker") as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def sink(port: int, **changes: Any) -> MqttSink:
    return MqttSink(MqttSettings(port=port, timeout_seconds=3, keepalive_seconds=5, **changes), "mill-2")


def test_every_kind_has_its_topic_and_keeps_to_its_schema(mosquitto: Broker) -> None:
    log = MemoryLog()
    log.add(frame(0), gap(1), defect(2), notice(3))
    with subscriber(mosquitto.port) as plant:
        with running(sink(mosquitto.port), log):
            eventually(lambda: len(plant.messages()) == 4)
        eventually(lambda: plant.states() == ["online", "offline"])
    told = [(topic, body) for topic, body in plant.heard if "key" in body]
    assert [topic.removeprefix("temper/mill-2/") for topic, _ in told] == ["verdict", "gap", "defect", "notice"]
    for _, body in told:
        MODELS[body["kind"]].model_validate(body)
    StateMessage.model_validate(plant.heard[0][1])


def test_a_broker_killed_while_messages_flow_loses_nothing_and_keeps_the_order(mosquitto: Broker) -> None:
    log = MemoryLog()
    done = threading.Event()

    def feed() -> None:
        for number in range(500):
            log.add(frame(number))
            time.sleep(0.004)
        done.set()

    with subscriber(mosquitto.port) as plant, running(sink(mosquitto.port), log) as work:
        threading.Thread(target=feed, daemon=True).start()
        for heard in (100, 250, 400):
            eventually(lambda heard=heard: len(plant.messages()) >= heard or done.is_set())
            mosquitto.kill()
            eventually(lambda: work.forwarder.progress.trouble is not None)
            mosquitto.start()
        eventually(lambda: len(plant.messages()) == 500, 30, "the arrival of all")
        eventually(lambda: log.behind("mqtt") == 0)
    assert [body["number"] for body in plant.messages()] == list(range(500))
    assert work.forwarder.progress.retried >= 3
    assert work.longest_silence() < 1


def test_a_broker_away_at_the_start_is_waited_for_and_said_once(mosquitto: Broker) -> None:
    mosquitto.kill()
    log = MemoryLog()
    log.add(*map(frame, range(50)))
    with running(sink(mosquitto.port), log) as work:
        eventually(lambda: work.forwarder.progress.retried >= 3)
        assert work.warnings() == [f"The MQTT broker 127.0.0.1:{mosquitto.port} cannot be reached: Connection refused."]
        assert work.forwarder.progress.behind == 50
        mosquitto.start()
        eventually(lambda: work.forwarder.progress.sent == 50)
        eventually(lambda: work.events[-1].kind == "note")
    assert "takes messages again" in work.events[-1].data["message"]


def test_a_broker_that_hangs_is_noticed_and_beats_go_on(mosquitto: Broker) -> None:
    log = MemoryLog()
    with running(sink(mosquitto.port), log) as work:
        log.add(frame(0))
        eventually(lambda: work.forwarder.progress.sent == 1)
        mosquitto.send_signal(signal.SIGSTOP)
        log.add(frame(1))
        eventually(lambda: work.forwarder.progress.trouble is not None)
        mosquitto.send_signal(signal.SIGCONT)
        eventually(lambda: work.forwarder.progress.sent == 2)
    assert work.longest_silence() < 1


def test_a_wrong_password_is_one_sentence_and_tried_again_slowly(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wrong\n")
    log = MemoryLog()
    log.add(frame(0))
    with broker(tmp_path / "broker", with_password(tmp_path / "broker", "line", "right")) as made:
        made.start()
        ours = sink(made.port, username="line", password=Secret(file=password))
        with running(ours, log) as work:
            eventually(lambda: work.forwarder.progress.retried == 2)
            password.write_text("right\n")
            eventually(lambda: work.forwarder.progress.sent == 1)
    (warning,) = work.warnings()
    assert "does not let the line connect as user line" in warning
    assert "wrong" not in warning


def test_a_password_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = sink(1883, username="line", password=Secret(file=tmp_path / "none"))
    with pytest.raises(UsageError, match="password of the MQTT broker cannot be read from .*none: No such file"):
        ours.open()
    monkeypatch.delenv("BROKER_PASSWORD", raising=False)
    with pytest.raises(UsageError, match="not in the environment variable BROKER_PASSWORD"):
        sink(1883, username="line", password=Secret(variable="BROKER_PASSWORD")).open()


def test_a_broker_that_lets_nothing_through_says_so(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite temper/mill-2/state\n")
    log = MemoryLog()
    log.add(frame(0))
    with broker(tmp_path / "broker", f"allow_anonymous true\nacl_file {rules}") as made:
        made.start()
        with running(sink(made.port), log) as work:
            eventually(lambda: bool(work.warnings()))
    assert "does not take messages on temper/mill-2/verdict: Not authorized" in work.warnings()[0]
    assert log.behind("mqtt") == 1


@pytest.mark.parametrize("client_certificates", [False, True])
def test_tls(tmp_path: Path, certificates: Certificates, client_certificates: bool) -> None:
    log = MemoryLog()
    log.add(*map(frame, range(20)))
    ours = {"tls": True, "ca": certificates.ca}
    if client_certificates:
        ours |= {"certificate": certificates.client, "key": certificates.client_key}
    with broker(tmp_path / "broker", with_tls(certificates, client_certificates)) as made:
        made.start()
        with running(sink(made.port, **ours), log) as work:
            eventually(lambda: work.forwarder.progress.sent == 20)
        with pytest.raises(SinkRefused, match="certificate that is not trusted here"):
            sink(made.port, tls=True).open()
    with pytest.raises(SinkRefused, match="certificates .* cannot be used"):
        sink(1883, tls=True, ca=tmp_path / "none").open()


VICTIM = """
import sys, threading
from outgoing import MemoryLog, frame
from temper.deploy.publish.mqtt import MqttSink
from temper.deploy.publish.settings import MqttSettings
from temper.deploy.publish.sink import Forwarder
log = MemoryLog()
log.add(frame(0))
Forwarder(MqttSink(MqttSettings(port=int(sys.argv[1])), "mill-2"), log).run(threading.Event(), lambda: None)
"""


def test_the_broker_says_offline_when_the_process_is_killed(mosquitto: Broker) -> None:
    with subscriber(mosquitto.port) as plant:
        tests = str(Path(__file__).resolve().parents[2])
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(mosquitto.port)], env={"PYTHONPATH": tests})
        try:
            eventually(lambda: len(plant.messages()) == 1)
        finally:
            victim.kill()
            victim.wait(10)
        eventually(lambda: plant.states() == ["online", "offline"])
    assert plant.messages()[0]["run"] == RUN


@pytest.mark.parametrize("refusal", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01"], ids=["in 5", "in 3.1.1"])
def test_an_older_broker_is_spoken_to_in_its_own_version(refusal: bytes) -> None:
    port = free_port()
    versions: list[int] = []

    def serve(listening: socket.socket) -> None:
        for answer in (refusal, b"\x20\x02\x00\x00"):
            connection, _ = listening.accept()
            with connection:
                versions.append(connection.recv(4096)[8])
                connection.sendall(answer)
                if len(versions) == 2:
                    packet = connection.recv(4096)  # the state, QoS 1
                    at = 4 + int.from_bytes(packet[2:4], "big")
                    connection.sendall(b"\x40\x02" + packet[at : at + 2])
                    connection.recv(4096)

    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        ours = sink(port)
        ours.open()
        ours.close()
        thread.join(5)
    assert versions == [5, 4]


def found(count: int) -> list[dict[str, Any]]:
    return [
        {"label": "scratches", "score": (37 * place % 100) / 100, "x1": 0.5, "y1": 1.5, "x2": 20.25, "y2": 30.0}
        for place in range(count)
    ]


def test_a_message_larger_than_the_broker_takes_is_shortened_and_holds_up_none(tmp_path: Path) -> None:
    log = MemoryLog()
    log.add(frame(0), frame(1, detections=found(100)), frame(2))
    with broker(tmp_path / "broker", "allow_anonymous true\nmax_packet_size 2000") as made:
        made.start()
        with subscriber(made.port) as plant, running(sink(made.port), log) as work:
            eventually(lambda: len(plant.messages()) == 3)
            assert work.warnings() == []
    assert [body["number"] for body in plant.messages()] == [0, 1, 2]
    told = plant.messages()[1]
    MODELS["frame"].model_validate(told)
    kept = len(told["detections"])
    assert 10 < kept < 100
    assert told["detections_left_out"] == 100 - kept
    best = sorted(found(100), key=lambda one: -one["score"])[:kept]
    assert sorted(map(str, told["detections"])) == sorted(map(str, best))
    assert plant.messages()[0]["detections_left_out"] == 0


def test_a_message_that_the_broker_can_never_take_is_counted_and_said_once(tmp_path: Path) -> None:
    log = MemoryLog()
    log.add(frame(0), notice(1), frame(2), frame(3), notice(4))
    with broker(tmp_path / "broker", "allow_anonymous true\nmax_packet_size 400") as made:
        made.start()
        with subscriber(made.port) as plant, running(sink(made.port), log) as work:
            eventually(lambda: len(plant.messages()) == 2)
            eventually(lambda: log.behind("mqtt") == 0)
            log.add(frame(5))
            eventually(lambda: work.forwarder.progress.undeliverable == 4)
            (warning,) = work.warnings()
    assert [body["kind"] for body in plant.messages()] == ["notice", "notice"]
    assert "takes packets of 400 bytes at most" in warning
    assert f"the message {RUN}:frame:0" in warning


def test_a_broker_that_tells_its_limit_by_hanging_up_is_understood() -> None:
    """Some brokers end the connection with "Packet too large" and had not said before what they take."""
    port = free_port()
    sizes: list[int] = []

    def serve(listening: socket.socket) -> None:
        for limit in (500, 500):
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"\x20\x03\x00\x00\x00")
                stream = connection.makefile("rb")
                while head := stream.read(1):
                    length, shift = 0, 0
                    while True:
                        byte = stream.read(1)[0]
                        length |= (byte & 127) << shift
                        shift += 7
                        if byte < 128:
                            break
                    body = stream.read(length)
                    if head[0] & 0xF0 != 0x30:
                        continue
                    sizes.append(length)
                    if length > limit:
                        connection.sendall(b"\xe0\x01\x95")
                        break
                    at = 2 + int.from_bytes(body[:2], "big")
                    connection.sendall(b"\x40\x02" + body[at : at + 2])

    with socket.create_server(("127.0.0.1", port)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        log = MemoryLog()
        log.add(frame(0), notice(1))
        with running(sink(port), log) as work:
            eventually(lambda: log.behind("mqtt") == 0)
            assert work.forwarder.progress.undeliverable == 1
    assert len([size for size in sizes if size > 500]) == 1


def test_a_password_goes_beyond_this_machine_with_tls_alone(tmp_path: Path) -> None:
    secret = Secret(file=tmp_path / "password")
    with pytest.raises(UsageError, match=r"broker plant.example is beyond this machine, .* Set tls, or allow_plain"):
        sink(1883, host="plant.example", username="line", password=secret)
    for changes in (
        {"tls": True},
        {"allow_plain": True},
        {"host": "localhost"},
        {"host": "::1"},
        {"password": Secret()},
    ):
        sink(1883, **({"host": "plant.example", "username": "line", "password": secret} | changes))
