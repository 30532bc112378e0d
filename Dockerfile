# syntax=docker/dockerfile:1
# One image for every process of docker-compose.yml: web, worker, celery, prefect, migrate.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV UV_CACHE_DIR=/var/cache/uv \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/datanika \
    PATH=/opt/datanika/bin:$PATH
RUN pip install --no-cache-dir uv && uv venv $VIRTUAL_ENV
WORKDIR /src
# The packages change seldom, the code often: the packages are a layer of their own.
COPY requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv pip install --require-hashes -r requirements.lock
COPY . ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv pip install --no-deps .
# The front end, with Node from a wheel; serving it needs none.
WORKDIR /build
ENV DATANIKA_HOME=/build DATANIKA_UI_DIR=/opt/datanika-ui
RUN python -m datanika.ui.serve build

FROM python:${PYTHON_VERSION}-slim-bookworm
ENV VIRTUAL_ENV=/opt/datanika \
    PATH=/opt/datanika/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATANIKA_HOME=/var/lib/datanika \
    DATANIKA_UI_DIR=/opt/datanika-ui
RUN groupadd --gid 10001 datanika \
    && useradd --uid 10001 --gid datanika --no-create-home --home-dir /var/lib/datanika datanika \
    && install -d -o datanika -g datanika -m 0700 \
        /var/lib/datanika /var/lib/datanika/orgs /var/lib/datanika/work \
        /var/lib/datanika/parsed
COPY --from=build /opt/datanika /opt/datanika
COPY --from=build /opt/datanika-ui /opt/datanika-ui
WORKDIR /app
COPY alembic.ini prefect.yaml ./
COPY migrations migrations
USER datanika
EXPOSE 8000
CMD ["datanika", "--help"]
