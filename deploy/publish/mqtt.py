"""Messages to an MQTT broker: QoS 1, in order, several on their way at once."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import MissingDependencyError, TemperError, UsageError, install_hint
from ..results.message import Message
from . import messages as outward
from .settings import MqttSettings, is_loopback
from .sink import SinkAway, SinkRefused

if TYPE_CHECKING:
    from paho.mqtt.client import Client

BATCH = 500
#: A broker that dies may lose what it acknowledged in the last seconds: Mosquitto acknowledges first, then saves.
UNSETTLED_SECONDS = 5.0
#: Most packets that are kept to be sent again for that.
MOST_UNSETTLED = 5000
#: Given to the last word of a line that stops, seconds.
GOODBYE_SECONDS = 1.0

#: No packet of MQTT is larger, in bytes.
LARGEST = 268_435_460

#: Topic, body, and whether the broker keeps it.
_Packet = tuple[str, bytes, bool]


class MqttSink:
    """Publishes to a broker that speaks MQTT 5 or, if it does not, 3.1.1.

    MQTT 5 first, because there a broker says when it does not let a message through; in 3.1.1 it is silent about it.
    A connection is used until its first trouble. The next one begins anew from the cursor in the event log, so that
    paho's own store of messages, which does not outlive the process, never has to be right. What a broker had
    acknowledged shortly before it was lost is sent once more: its key tells who has it already.

    Args:
        settings: of the broker.
        line: name of the line.

    Raises:
        MissingDependencyError: if paho-mqtt is not installed.
        UsageError: if a password would go beyond this machine without TLS.
    """

    name = "mqtt"
    batch = BATCH
    linger = 0.0
    undeliverable = 0
    complaint: str | None = None

    def __init__(self, settings: MqttSettings, line: str) -> None:
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                "MQTT needs paho-mqtt, which is not installed. " + install_hint("plant")
            ) from error
        secret = settings.password.file is not None or settings.password.variable is not None
        if secret and not (settings.tls or settings.allow_plain or is_loopback(settings.host)):
            raise UsageError(
                f"The MQTT broker {settings.host} is beyond this machine, and its password would go there without TLS. "
                "Set tls, or allow_plain."
            )
        self._settings, self._line = settings, line
        self._protocol = 5
        self._connection: _Connection | None = None
        # when each was acknowledged, and the packet
        self._unsettled: deque[tuple[float, _Packet]] = deque(maxlen=MOST_UNSETTLED)
        self._again: deque[_Packet] = deque()
        self._largest = LARGEST
        self.target = f"The MQTT broker {settings.host}:{settings.port}"
        # connecting, the handshake of TLS, the answer to it, and that to the state; twice for the older protocol
        self.patience = 2 * (3 * settings.timeout_seconds + settings.keepalive_seconds)

    def open(self) -> None:
        """Connect, say that the line is online, and send again what the last connection may have lost.

        Raises:
            SinkAway: if the broker is not there.
            SinkRefused: if it does not let this line in.
            UsageError: if the password cannot be read.
        """
        try:
            self._connection = _Connection(self._settings, self._line, self._protocol, self.target)
        except _OlderBroker:
            self._protocol = 4
            self._connection = _Connection(self._settings, self._line, self._protocol, self.target)
        here = outward.state_topic(self._settings.topic, self._line)
        self._connection.publish([(here, outward.state(self._line, "online"), True)], self._settings.timeout_seconds)
        # a limit that the broker tells may have been raised; one that it does not tell was learned from what it refused
        self._largest = self._connection.largest if self._connection.tells_largest else self._largest
        old = [packet for _, packet in self._unsettled if len(packet[1]) + _overhead(packet[0]) <= self._largest]
        self._again.extendleft(reversed(old))
        self._unsettled.clear()
        if self._again:
            self._publish([])

    def check(self) -> None:
        """Raise :class:`SinkAway` if the connection is lost."""
        if self._connection is not None:
            self._connection.check()

    def send(self, messages: Sequence[Message]) -> int:
        """Publish messages and wait for the broker to acknowledge them.

        Returns:
            The ``event_id`` up to which it did; one before the first where there was time for old packets alone.

        Raises:
            SinkAway: if it acknowledged none.
            SinkRefused: if it does not let the first one through.
        """
        if self._connection is None:
            raise SinkAway(f"{self.target} is not connected.")
        prefix, line = self._settings.topic, self._line
        packets: list[_Packet] = []
        places: list[int] = []  # of the packets among the messages
        for place, message in enumerate(messages):
            topic = outward.topic(prefix, line, message.kind)
            body = outward.shortened(outward.describe(message, line), self._largest - _overhead(topic))
            if body is not None:
                packets.append((topic, body, False))
                places.append(place)
        waiting = len(self._again)
        acknowledged = max(0, self._publish(packets) - waiting)
        # all before the first one without an acknowledgement is done with: delivered, or too large for ever
        done = places[acknowledged] if acknowledged < len(places) else len(messages)
        self._give_up([message for place, message in enumerate(messages[:done]) if place not in places])
        return messages[done - 1].event_id if done else messages[0].event_id - 1

    def _give_up(self, messages: Sequence[Message]) -> None:
        """Count messages that are larger than the broker takes, whatever is left out of them."""
        self.undeliverable += len(messages)
        if messages and self.complaint is None:
            self.complaint = (
                f"{self.target} takes packets of {self._largest} bytes at most, so the message {messages[0].key} and "
                "others as large are not sent to it; they stay in the store. Raise its limit (max_packet_size of "
                "Mosquitto)."
            )

    def _publish(self, packets: Sequence[_Packet]) -> int:
        """Publish what has to be sent again and then ``packets``; how many of both were acknowledged."""
        assert self._connection is not None
        try:
            acknowledged = self._connection.publish([*self._again, *packets], self._settings.timeout_seconds)
        finally:
            self._largest = min(self._largest, self._connection.largest)
        self._settle()
        now = time.monotonic()
        self._unsettled.extend((now, packet) for packet in [*self._again, *packets][:acknowledged])
        for _ in range(min(acknowledged, len(self._again))):
            self._again.popleft()
        return acknowledged

    def close(self) -> None:
        """Say that the line is offline, and disconnect."""
        if (connection := self._connection) is not None:
            self._connection = None
            self._settle()
            said = False
            with contextlib.suppress(TemperError):
                here = outward.state_topic(self._settings.topic, self._line)
                connection.publish([(here, outward.state(self._line, "offline"), True)], GOODBYE_SECONDS)
                said = True
            connection.close(with_will=not said)

    def _settle(self) -> None:
        """Forget what the broker has long had; a broker whose machine is gone is missed only after the keep-alive."""
        before = time.monotonic() - UNSETTLED_SECONDS - 2 * self._settings.keepalive_seconds
        while self._unsettled and self._unsettled[0][0] < before:
            self._unsettled.popleft()


def _overhead(topic: str) -> int:
    """Most bytes of a packet that are not its body: header and length, topic, number, no properties."""
    return 1 + 4 + 2 + len(topic.encode()) + 2 + 1


class _OlderBroker(Exception):
    """It does not speak MQTT 5."""


class _Connection:
    """One connection, from its first packet to its first trouble.

    Raises:
        SinkAway, SinkRefused, UsageError: as :meth:`MqttSink.open` does.
        _OlderBroker: if the broker does not speak MQTT 5.
    """

    def __init__(self, settings: MqttSettings, line: str, protocol: int, target: str) -> None:
        self._target, self._protocol = target, protocol
        self._changed = threading.Condition()
        self._answer: Any = None  # the broker's reason code to the connection
        self._window = settings.window
        self.largest, self.tells_largest = LARGEST, False
        self._lost: str | None = None
        self._too_large = False
        self._trouble: TemperError | None = None
        self._acknowledged: dict[int, Any] = {}  # reason codes by packet id
        self._client = self._make(settings, line, protocol)
        try:
            self._connect(settings)
            self._client.loop_start()
            self._await_answer(settings, protocol)
        except BaseException:
            self.close()
            raise

    def _make(self, settings: MqttSettings, line: str, protocol: int) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            # the same for ever: a broker then takes a line that comes back for the one it believed to be there still,
            # and says "offline" of the old connection before the new one says "online"
            client_id=f"temper-{line}",
            protocol=MQTTProtocolVersion(protocol),
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.timeout_seconds
        client.max_inflight_messages_set(0)  # no limit: the window is kept here, where the broker's wish is known
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password.read("The password of the MQTT broker"))
        if settings.tls:
            self._secure(client, settings)
        client.will_set(outward.state_topic(settings.topic, line), outward.state(line, "offline"), qos=1, retain=True)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_publish = self._published
        return client

    def _secure(self, client: Client, settings: MqttSettings) -> None:
        ca, certificate, key = (
            str(path) if path else None for path in (settings.ca, settings.certificate, settings.key)
        )
        try:
            client.tls_set(ca, certificate, key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(path for path in (ca, certificate, key) if path) or "the system's certificates"
            raise SinkRefused(
                f"{self._target} cannot be connected to: the certificates ({files}) cannot be used: "
                f"{error}. Give PEM files."
            ) from error

    def _connect(self, settings: MqttSettings) -> None:
        try:
            self._client.connect(settings.host, settings.port, keepalive=settings.keepalive_seconds)
        except ssl.SSLCertVerificationError as error:
            raise SinkRefused(
                f"{self._target} has a certificate that is not trusted here ({error.verify_message}). "
                "Name its authority as ca, or the host as its certificate does."
            ) from error
        except ssl.SSLError as error:
            raise SinkRefused(
                f"{self._target} does not agree on TLS ({error}). Look at its port and certificates."
            ) from error
        except OSError as error:
            raise SinkAway(f"{self._target} cannot be reached: {error.strerror or error}.") from error

    def _await_answer(self, settings: MqttSettings, protocol: int) -> None:
        with self._changed:
            told = self._changed.wait_for(
                lambda: self._answer is not None or self._lost is not None, settings.timeout_seconds
            )
        if self._answer is None:
            why = "it closed the connection" if told else f"no answer within {settings.timeout_seconds:g} s"
            raise SinkAway(f"{self._target} does not let the line connect: {why}.")
        if self._answer.is_failure:
            reason = str(self._answer)
            if protocol == 5 and reason == "Unsupported protocol version":
                raise _OlderBroker
            if reason in ("Server unavailable", "Server busy", "Quota exceeded", "Connection rate exceeded"):
                raise SinkAway(f"{self._target} takes no connection now: {reason}.")
            raise SinkRefused(
                f"{self._target} does not let the line connect as "
                f"{f'user {settings.username}' if settings.username else 'nobody'}: {reason}. "
                "Give the username and password that it knows."
            )

    def publish(self, packets: Sequence[_Packet], timeout: float) -> int:
        """Publish and wait.

        Args:
            packets: topic, body, and whether the broker keeps it.
            timeout: seconds without any acknowledgement after which the broker counts as away; after twice that,
                no more are begun.

        Returns:
            How many were acknowledged, from the first one on; at least one.

        Raises:
            SinkAway: if none was.
            SinkRefused: if the first was refused.
        """
        self.check()
        self._acknowledged.clear()
        ids: list[int] = []
        count = 0
        until = time.monotonic() + 2 * timeout
        while self._trouble is None:
            # a slow broker is given fewer, so that the caller is heard of again; all that were given are waited for
            while len(ids) < min(len(packets), count + self._window) and (not ids or time.monotonic() < until):
                topic, body, retain = packets[len(ids)]
                ids.append(self._client.publish(topic, body, qos=1, retain=retain).mid)
            if count == len(ids):
                break
            reason = self._await_one(ids[count], timeout)
            if reason is None:
                with self._changed:
                    why = self._lost or f"it has acknowledged nothing for {timeout:g} s"
                    if self._too_large:  # said by some brokers that did not tell their limit before
                        self.largest = (
                            max(len(body) + _overhead(topic) for topic, body, _ in packets[count : len(ids)]) - 1
                        )
                self._trouble = SinkAway(f"{self._target} is gone: {why}.")
            elif reason.is_failure:
                self._trouble = SinkRefused(
                    f"{self._target} does not take messages on {packets[count][0]}: {reason}. "
                    "Allow this line to publish there."
                )
            else:
                count += 1
        if count == 0:
            self.check()
        return count

    def _await_one(self, packet_id: int, timeout: float) -> Any:
        """The broker's reason code for a packet; None if there is none in time, or the connection is lost."""
        with self._changed:
            self._changed.wait_for(lambda: packet_id in self._acknowledged or self._lost is not None, timeout)
            return self._acknowledged.pop(packet_id, None)

    def check(self) -> None:
        """Raise what ended this connection, if anything did."""
        with self._changed:
            if self._trouble is None and self._lost is not None:
                self._trouble = SinkAway(f"{self._target} is gone: {self._lost}.")
        if self._trouble is not None:
            raise self._trouble

    def close(self, with_will: bool = False) -> None:
        """Disconnect, if still connected, and end the thread that reads.

        Args:
            with_will: let the broker say that the line is offline; MQTT 3.1.1 has no way to ask for it.
        """
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.reasoncodes import ReasonCode

        if with_will and self._protocol == 5:
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        else:
            self._client.disconnect()
        self._client.loop_stop()

    # called by paho's thread

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        most = getattr(properties, "ReceiveMaximum", None)
        largest = getattr(properties, "MaximumPacketSize", None)
        with self._changed:
            self._answer = reason
            self._window = min(self._window, most or self._window)
            self.largest, self.tells_largest = largest or LARGEST, bool(largest)
            self._changed.notify_all()

    def _disconnected(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            if flags.is_disconnect_packet_from_server:
                self._lost = f"it ended the connection ({reason})"
                self._too_large = str(reason) == "Packet too large"
            else:
                self._lost = "the connection was lost"
            self._changed.notify_all()

    def _published(self, _client: Any, _data: Any, packet_id: int, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._acknowledged[packet_id] = reason
            self._changed.notify_all()
