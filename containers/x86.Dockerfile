# Temper on an x86_64 PC beside the line, on Debian 12 with its own Python 3.11, for which Aravis's bindings are built.
#
#   docker build -f containers/x86.Dockerfile -t temper .
#   docker build -f containers/x86.Dockerfile -t temper --build-arg PACKAGES="gir1.2-aravis-0.8 python3-gi" .
#   docker build -f containers/x86.Dockerfile -t temper --build-arg EXTRAS= .
#
# docs/how-to/containers.md says how to run it.
ARG BASE=docker.io/library/debian:bookworm-20250520-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
# extras of pyproject.toml, with commas between: cameras, plant, openvino; none is enough for all but a line
ARG EXTRAS="cameras,plant"
# hadolint ignore=DL3008
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /source
COPY . .
# the versions that the test suite runs with; a proxy's certificate and index come from the environment of the build
RUN python3 -m venv /opt/temper && \
    sed -nE 's/^([A-Za-z0-9_.-]+==[^ ;]+).*/\1/p' requirements/py311.txt >/tmp/pins && \
    /opt/temper/bin/pip install --no-cache-dir --disable-pip-version-check --constraint /tmp/pins ".${EXTRAS:+[$EXTRAS]}" && \
    rm -rf /opt/temper/lib/python3.11/site-packages/pip* /opt/temper/bin/pip* && \
    /opt/temper/bin/temper --version

# hadolint ignore=DL3006
FROM ${BASE}
# packages of Debian, with spaces between: what Aravis needs
ARG PACKAGES=""
# libpython is what GenTL's bindings are linked to; one word a package, so not quoted
# hadolint ignore=DL3008,SC2086
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 libpython3.11 ${PACKAGES} && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --no-log-init --uid 10001 --no-create-home --home-dir /tmp --groups video temper && \
    mkdir -p /config /results && \
    chown temper: /results
COPY --from=build /opt/temper /opt/temper
# bytecode is there already, and with --read-only nothing but /tmp and the volumes can be written
ENV PATH=/opt/temper/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
USER 10001
WORKDIR /results
VOLUME ["/results"]
ENTRYPOINT ["temper"]
CMD ["deploy", "run", "--config", "/config/line.yml", "--hold"]
# results.folder of line.yml is /results; the start measures what the engine takes at once, and may build an engine
HEALTHCHECK --interval=30s --timeout=15s --start-period=300s --retries=3 CMD ["temper", "deploy", "status", "/results"]
