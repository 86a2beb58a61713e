"""A commented ``line.yml`` to start from."""

from __future__ import annotations

_TEMPLATE = """\
# A line: its cameras, how their pictures are judged, and where verdicts go.
#   temper deploy run BUNDLE --config {file}
# Every field that is commented out shows its default, or an example. docs/reference/line.md has all of them.
line: {name}

cameras:
{camera}
strip:
  by: nothing               # speed, frame or encoder: what tells where on the strip a frame lies
  # metres_per_second: 3.0  # with by: speed
  # metres_per_frame: 0.3   # with by: frame: an encoder triggers the camera

tiles:
  size: null                # pixels of the camera that the graph sees at once; null: each frame whole
  overlap: 32

judging:
  smallest_mm: 0            # longest side from which on a defect counts; needs mm_per_pixel
  # severity:
  #   scratches: {{major: 20, critical: 100}}   # by longest side in mm; smaller ones are minor
  # ignore:
  #   - across_mm: [0, 15]  # the strip's edge

overload:
  policy: drop-oldest       # or drop-newest, or block: what happens to frames that come too fast
  queue: 16
  # deadline_ms: 500        # from exposure to verdict; a later one is 'late', which is not inspected

results:
  folder: results
  pictures: defects         # all, defects or none
  keep:
    gigabytes: 20
    days: 30

# mqtt:
#   host: 127.0.0.1
#   password_file: /etc/temper/mqtt-password
# plant:
#   url: postgresql://temper@database/plant
# webhook:
#   url: https://mes.example/temper

metrics:
  address: 127.0.0.1        # 0.0.0.0 lets other machines read /metrics and /health
  port: 9469
"""
_CAMERAS = {
    "aravis": """\
  - name: top
    type: aravis            # GigE Vision or USB3 Vision; 'temper deploy cameras' lists what answers
    address: {address}
    pixel_format: Mono8
    # exposure_us: 200
    # frame_rate: 50
    # trigger: hardware
    # trigger_source: Line1
    # packet_bytes: 8996
    # mm_per_pixel: 0.3
""",
    "stream": """\
  - name: top
    type: stream
    url: rtsp://user:${{CAMERA_PASSWORD}}@{address}/stream1
    # mm_per_pixel: 0.3
""",
    "v4l2": """\
  - name: top
    type: v4l2
    device: /dev/video0
    # mm_per_pixel: 0.3
""",
    "folder": """\
  - name: top
    type: folder            # pictures that another program writes; half-written ones are waited for
    path: incoming
    afterwards: keep        # move or delete
    # mm_per_pixel: 0.3
""",
}
#: The types of cameras that there is a beginning for.
KINDS = tuple(_CAMERAS)


def line_template(name: str, kind: str, file: str, address: str = "192.168.1.20") -> str:
    """The text of a configuration with one camera.

    Args:
        name: of the line.
        kind: of the camera, one of :data:`KINDS`.
        file: that it will be written to.
        address: of the camera.
    """
    camera = _CAMERAS[kind].format(address=address)
    return _TEMPLATE.format(name=name, camera=camera, file=file)
