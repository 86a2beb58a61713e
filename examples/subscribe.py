"""Hear what a line says, each message once and in order: subscribe.py HOST [PORT] (needs paho-mqtt).

The broker keeps messages for this client while it is away (a session with a fixed name), and keys that were seen are
kept in a file, so that a message which arrives twice is taken once, also after a restart.
"""

import json
import sqlite3
import sys

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

NAME = "temper-example"

seen = sqlite3.connect(f"{NAME}.sqlite", check_same_thread=False, isolation_level=None)
seen.execute("CREATE TABLE IF NOT EXISTS message (key TEXT PRIMARY KEY, body TEXT)")


def connected(client, _data, _flags, reason, _properties):
    """Subscribe anew with each connection: the broker may have forgotten."""
    print(f"broker: {reason}", flush=True)
    client.subscribe("temper/#", qos=1)


def heard(client, _data, message):
    """Take a message, and only then tell the broker so: what is not acknowledged comes again."""
    told = json.loads(message.payload)
    if message.topic.endswith("/state"):
        print(f"{told['line']} is {told['state']}", flush=True)
    elif seen.execute("INSERT OR IGNORE INTO message VALUES (?, ?)", (told["key"], message.payload)).rowcount:
        what = told.get("verdict") or told.get("label") or told.get("cause") or told.get("message")
        print(f"{told['line']} {told['kind']} {told['number']}: {what}", flush=True)
    client.ack(message.mid, message.qos)


subscriber = Client(CallbackAPIVersion.VERSION2, client_id=NAME, clean_session=False, manual_ack=True)
subscriber.on_connect, subscriber.on_message = connected, heard
subscriber.connect(sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__), int((sys.argv[2:] or [1883])[0]))
subscriber.loop_forever()
