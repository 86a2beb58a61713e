"""What Prometheus would read, and whether the line is alive."""

from __future__ import annotations

import math
import socket
import subprocess
import sys

import httpx
import pytest
from outgoing import MemoryLog, defect, eventually, frame, gap, notice, running
from prometheus_client.parser import text_string_to_metric_families
from temper.core.errors import TemperError
from temper.deploy.publish.metrics import MetricsServer, MetricsSink, Vitals
from temper.deploy.publish.settings import MetricsSettings
from temper.deploy.publish.sink import Progress


def read(port: int) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels but the line."""
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "line")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_message_is_counted() -> None:
    vitals = Vitals(
        ages=lambda: {"camera-top": 0.25},
        memory=lambda: {"inspection": 2.0e8},
        disk_free=lambda: {"results": 5.0e9},
        progress=lambda: [Progress("mqtt", 12, 3, 7, "The broker is gone.")],
    )
    sink = MetricsSink("mill-2", vitals)
    log = MemoryLog()
    log.add(frame(0), frame(1), frame(2, verdict="not_inspected", cause="dropped", latency_ms=None, stages_ms={}))
    log.add(gap(3), defect(4), defect(5, severity="major"), notice(6), frame(7, verdict="defect", latency_ms=30.0))
    with MetricsServer(sink, MetricsSettings(port=0)) as server:
        with running(sink, log):
            eventually(lambda: log.behind("metrics") == 0)
        got = read(server.port)
        log.add(notice(8, "waiting"))
        with running(sink, log):
            eventually(lambda: log.behind("metrics") == 0)
        assert read(server.port)["temper_camera_connected", "top"] == 0
    expected = {
        ("temper_frames_total", "top", "", "ok"): 2,
        ("temper_frames_total", "top", "dropped", "not_inspected"): 1,
        ("temper_frames_total", "top", "", "defect"): 1,
        ("temper_frames_dropped_total", "top"): 1,
        ("temper_defects_total", "scratches", "minor"): 1,
        ("temper_defects_total", "scratches", "major"): 1,
        ("temper_gaps_total", "top"): 1,
        ("temper_gap_frames_total", "top"): 10,
        ("temper_gap_metres_total", "top"): 5,
        ("temper_camera_connected", "top"): 1,
        ("temper_latency_seconds_count", "top", "exposure_to_verdict"): 3,
        ("temper_latency_seconds_bucket", "top", "0.02", "exposure_to_verdict"): 2,
        ("temper_latency_seconds_count", "top", "compute"): 3,
        ("temper_heartbeat_age_seconds", "camera-top"): 0.25,
        ("temper_resident_memory_bytes", "inspection"): 2.0e8,
        ("temper_disk_free_bytes", "results"): 5.0e9,
        ("temper_sink_sent_total", "mqtt"): 12,
        ("temper_sink_retried_total", "mqtt"): 3,
        ("temper_sink_behind", "mqtt"): 7,
        ("temper_sink_failing", "mqtt"): 1,
    }
    assert {name: got.get(name) for name in expected} == expected
    assert got["temper_latency_seconds_sum", "top", "exposure_to_verdict"] == pytest.approx(0.054)


def test_a_gap_counts_once_as_it_begins() -> None:
    sink, log = MetricsSink("mill-2"), MemoryLog()
    with MetricsServer(sink, MetricsSettings(port=0)) as server, running(sink, log):
        for messages, counted in (([gap(1, state="open", frames=None, length_m=None)], 1), ([gap(1), gap(2)], 2)):
            log.add(*messages)
            eventually(lambda: log.behind("metrics") == 0)
            assert read(server.port)["temper_gaps_total", "top"] == counted
        assert read(server.port)["temper_gap_frames_total", "top"] == 20


def test_health_says_why_not() -> None:
    troubles: list[str] = []
    waiting = ["The engine warms up."]
    vitals = Vitals(ages=lambda: {"loop": math.inf, "store": 0.1}, troubles=lambda: troubles, waiting=lambda: waiting)
    with MetricsServer(MetricsSink("mill-2", vitals), MetricsSettings(port=0)) as server:
        place = f"http://127.0.0.1:{server.port}"
        answer = httpx.get(f"{place}/health")
        assert (answer.status_code, answer.json()["alive"]) == (200, True)
        assert answer.json()["heartbeat_ages"] == {"loop": None, "store": 0.1}
        answer = httpx.get(f"{place}/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["The engine warms up."]})
        waiting.clear()
        assert httpx.get(f"{place}/ready").status_code == 200
        troubles.append("The part loop has not beaten for 12 s.")
        for path in ("health", "ready"):
            answer = httpx.get(f"{place}/{path}")
            assert (answer.status_code, answer.json()["reasons"]) == (503, troubles)
        assert httpx.get(f"{place}/").status_code == 404
        assert httpx.post(f"{place}/health").status_code == 501


def test_only_loopback_is_listened_on_unless_told() -> None:
    with MetricsServer(MetricsSink("mill-2"), MetricsSettings(port=0)) as server:
        listening = subprocess.run(
            [sys.executable, "-c", "import pathlib; print(pathlib.Path('/proc/net/tcp').read_text())"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        places = {line.split()[1] for line in listening.splitlines()[1:] if line.split()[3:4] == ["0A"]}
    assert f"0100007F:{server.port:04X}" in places
    assert f"00000000:{server.port:04X}" not in places


def test_a_port_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TemperError, match=f"port of the metrics, 127.0.0.1:{port}, is taken by another program"):
            MetricsServer(MetricsSink("mill-2"), MetricsSettings(port=port))
    with pytest.raises(TemperError, match="cannot be served on 192.0.2.1:9469"):
        MetricsServer(MetricsSink("mill-2"), MetricsSettings(address="192.0.2.1"))
