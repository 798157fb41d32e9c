# syntax=docker/dockerfile:1
# `serve` holds what decides and what stands beside it; `data` has AWS's clients, chDB and Arrow as
# well, for shipping, applying, history and training. Releases pin the base by digest:
# --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv --without-pip /opt/stepdown \
 && python -m pip install --no-cache-dir "setuptools>=80"
COPY requirements/serve.lock requirements/
RUN python -m pip --python /opt/stepdown/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements/serve.lock
COPY pyproject.toml README.md ./
COPY app app
COPY fallback fallback
COPY regions regions
COPY chaos chaos
# The C kernel is compiled here and must be: without it numpy does its work, for more CPU.
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m pip --python /opt/stepdown/bin/python install --no-cache-dir --no-compile --no-deps /wheels/*.whl \
 && cd / && /opt/stepdown/bin/python -c "import app.features._kernel"

FROM build AS build-data
COPY requirements/data.lock requirements/
RUN python -m pip --python /opt/stepdown/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements/data.lock

# What both have: a user without a name or a shell, no compiler, nothing to write to but the volume.
FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/stepdown
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STEPDOWN_HOME=/var/lib/stepdown
# Not the code's folder: gunicorn puts the folder that it starts in first on its path.
WORKDIR /var/lib/stepdown
VOLUME /var/lib/stepdown
USER 10001:10001

FROM base AS data
COPY --from=build-data /opt/stepdown /opt/stepdown
CMD ["/opt/stepdown/bin/python", "-m", "app.features.applier_process"]

# Last, so that it is what a build makes when nobody says which.
FROM base AS serve
COPY --from=build /opt/stepdown /opt/stepdown
EXPOSE 18000
CMD ["/opt/stepdown/bin/python", "-m", "gunicorn", "-c", "python:app.gunicorn_conf", "app.main:app"]
