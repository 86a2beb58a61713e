"""An RTSP camera of GStreamer's: ``python -m temper.deploy.drill.rtsp_server PORT``."""

from __future__ import annotations

import sys

from ..cameras.introspection import typelib

#: A picture that moves, so that none is the same as the one before; coded without delay.
_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 ! "
    "x264enc threads=1 tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96 "
    "config-interval=1 )"
)


def serve(port: int, user: str | None = None, password: str = "") -> None:
    """Serve ``rtsp://127.0.0.1:PORT/line`` until the process is ended; ``ready`` is printed once it listens.

    Args:
        port: on loopback.
        user: who alone is let in; None lets everybody in.
        password: of that user.

    Raises:
        MissingDependencyError: if GStreamer's RTSP server is not installed.
    """
    gst, server_library, glib = typelib("Gst", "1.0"), typelib("GstRtspServer", "1.0"), typelib("GLib", "2.0")
    gst.init(None)
    server = server_library.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = server_library.RTSPMediaFactory()
    factory.set_launch(_PIPELINE)
    factory.set_shared(True)
    if user is not None:
        auth = server_library.RTSPAuth()
        token = server_library.RTSPToken()
        token.set_string(server_library.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
        auth.add_basic(server_library.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        factory.add_role_from_structure(
            gst.Structure.from_string(f"{user}, media.factory.access=true, media.factory.construct=true;")[0]
        )
    server.get_mount_points().add_factory("/line", factory)
    if not server.attach(None):
        sys.exit(f"nothing can listen on port {port}")
    print("ready", flush=True)  # noqa: T201
    glib.MainLoop().run()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:4])
