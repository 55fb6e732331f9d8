# syntax=docker/dockerfile:1
# Stage 1 installs what the lock file pins into /app/.venv; stage 2 is that folder on a slim Python, as a plain user.

FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY locks/run.txt locks/run.txt
RUN python -m venv .venv \
 && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r locks/run.txt
COPY locks/vocabularies.txt locks/vocabularies.txt
COPY scripts/vocabularies scripts/vocabularies
RUN .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        --target build/vocabularies -r locks/vocabularies.txt \
 && PYTHONPATH=build/vocabularies .venv/bin/python scripts/vocabularies vocabularies
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY graph graph
COPY guardrails guardrails
COPY llm llm
COPY prompts prompts
RUN mkdir -p llm/tokens/vocabularies && mv vocabularies/* llm/tokens/vocabularies/
RUN .venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --create-home penstock
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER penstock
WORKDIR /data
EXPOSE 8080
# Without keys the gateway listens on loopback only. Mount a settings file with keys and server.host 0.0.0.0:
#   docker run -p 8080:8080 -v ./penstock.yaml:/data/penstock.yaml:ro -e PENSTOCK_CONFIG=/data/penstock.yaml penstock
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["python", "-c", \
 "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["penstock"]
CMD ["serve"]
