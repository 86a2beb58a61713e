# Temper on a Jetson with JetPack 6 (L4T r36.4): Ubuntu 22.04's Python 3.10, and the TensorRT 10.3 of NVIDIA's image, which a virtual
# environment sees through the system's packages. Built on a Jetson:
#
#   docker build -f containers/jetson.Dockerfile -t temper .
#
# Not yet seen on hardware. docs/how-to/containers.md says how to run it, and what was checked.
ARG BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime

# hadolint ignore=DL3006
FROM ${BASE} AS build
# extras of pyproject.toml, with commas between; none is enough for all but a line
ARG EXTRAS="cameras,plant"
# hadolint ignore=DL3008
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /source
COPY . .
# the versions that the test suite runs with; cuda-python's major version is CUDA's
RUN python3 -m venv --system-site-packages /opt/temper && \
    sed -nE 's/^([A-Za-z0-9_.-]+==[^ ;]+).*/\1/p' requirements/py310.txt >/tmp/pins && \
    /opt/temper/bin/pip install --no-cache-dir --disable-pip-version-check --constraint /tmp/pins \
        ".${EXTRAS:+[$EXTRAS]}" "cuda-python>=12.6,<13" && \
    /opt/temper/bin/temper --version && \
    rm -rf /opt/temper/lib/python3.10/site-packages/pip* /opt/temper/bin/pip*

# hadolint ignore=DL3006
FROM ${BASE}
# packages of Ubuntu, with spaces between: what Aravis needs
ARG PACKAGES=""
# libpython is what GenTL's bindings are linked to. TensorRT's bindings come where the image has none; they are looked for and not
# loaded, as the driver is there only at work.
# hadolint ignore=DL3008,SC2086
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 libpython3.10 ${PACKAGES} && \
    { python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorrt") is None)' || \
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-libnvinfer; } && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --no-log-init --uid 10001 --no-create-home --home-dir /tmp --groups video temper && \
    mkdir -p /config /results /bundles && \
    chown temper: /results /bundles
COPY --from=build /opt/temper /opt/temper
# bytecode is there already, and with --read-only nothing but /tmp and the volumes can be written
ENV PATH=/opt/temper/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
USER 10001
WORKDIR /results
# engines are built beside the bundle, and kept
VOLUME ["/results", "/bundles"]
ENTRYPOINT ["temper"]
CMD ["deploy", "run", "--config", "/config/line.yml", "--hold"]
# results.folder of line.yml is /results; the first start builds an engine, which takes minutes
HEALTHCHECK --interval=30s --timeout=15s --start-period=900s --retries=3 CMD ["temper", "deploy", "status", "/results"]
