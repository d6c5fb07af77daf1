# syntax=docker/dockerfile:1
#
# The bridge as an image, for linux/amd64 and linux/arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 -t argo-bridge .
# It runs as user 10001, with a read-only root file system if you like: it writes to its data directory (a volume)
# and, for the report of an unexpected error at start-up, to /tmp.

# The release of Python that the tests run on.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/argo-bridge
COPY pyproject.toml README.md ./
COPY bridge/ bridge/
COPY schemas/ schemas/
# Wheels only: nothing is compiled here, so no compiler is needed, on arm64 neither.
RUN pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir /tmp/wheels . \
    && pip --python /opt/argo-bridge/bin/python install --no-cache-dir --disable-pip-version-check --only-binary=:all: "$(echo /tmp/wheels/*.whl)[formats]" \
    && /opt/argo-bridge/bin/argo-bridge --version

FROM python:${PYTHON_VERSION}-slim-bookworm
COPY --from=build /opt/argo-bridge /opt/argo-bridge
# A new volume takes over the owner of the folder below it.
RUN groupadd --system --gid 10001 bridge \
    && useradd --system --uid 10001 --gid bridge --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin bridge \
    && install --directory --owner=bridge --group=bridge --mode=0700 /var/lib/argo-bridge \
    && install --directory --mode=0755 /etc/argo-bridge
ENV PATH=/opt/argo-bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/argo-bridge
VOLUME /var/lib/argo-bridge
EXPOSE 8080
STOPSIGNAL SIGTERM
# Liveness, not readiness: a broker that is away makes the bridge unready, and a new container would not bring it back.
# It asks the default of web.listen; with another port, or none, give the container a health check of its own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8080, timeout=3); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["argo-bridge"]
CMD ["run", "--config", "/etc/argo-bridge/bridge.yaml"]
