"""Who takes part: how each is installed, started, and asked. Who cannot be installed is left out, with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
INSTALLING = 1800.0
"""Seconds that an installation may take."""
KEY = "sk-benchmark-app-key"
BEARER = {"authorization": f"Bearer {KEY}"}


class Unavailable(Exception):
    """A contender cannot be installed here."""


@dataclass(frozen=True)
class Place:
    """Where a contender runs: its own port, the upstream's address, and a folder for its files."""

    port: int
    upstream: str
    folder: Path

    def write(self, name: str, text: str) -> str:
        """Writes a file; returns its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@dataclass(frozen=True)
class Gateway:
    """Somebody who stands between clients and the upstream."""

    name: str
    title: str
    command: Callable[[Place], Sequence[str]]
    prepare: Callable[[Path], None] = lambda _: None
    headers: Mapping[str, str] = field(default_factory=lambda: BEARER)
    environment: Mapping[str, str] = field(default_factory=dict)


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALLING, cwd=cwd)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise Unavailable(said[-1] if said else "it said nothing") from None


def _venv(name: str, *installs: str) -> Callable[[Path], None]:
    """Makes a virtual environment under the cache, unless it stands already."""

    def prepare(cache: Path) -> None:
        stamp = cache / name / "installed"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == " ".join(installs):
            return
        print(f"making the environment of {name} ...", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(cache / name))
        _run(str(cache / name / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", *installs)
        stamp.write_text(" ".join(installs), encoding="utf-8")

    return prepare


# --- nginx

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream up {{ server {host}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def _find_nginx(_: Path) -> None:
    if shutil.which("nginx") is None:
        raise Unavailable("nginx is not installed (apt-get install nginx-light)")


def _nginx(place: Place) -> Sequence[str]:
    host = place.upstream.removeprefix("http://").removesuffix("/v1")
    conf = place.write("nginx.conf", NGINX.format(folder=place.folder, host=host, port=place.port))
    return [shutil.which("nginx") or "nginx", "-c", conf, "-p", str(place.folder), "-e", f"{place.folder}/start.log"]


# --- those that are written here


def _script(
    name: str, *more: str, python: Callable[[Place], str] = lambda _: sys.executable
) -> Callable[[Place], Sequence[str]]:
    return lambda place: [
        python(place),
        *("-m", f"benchmarks.gateways.{name}", str(place.port), place.upstream, KEY, *more),
    ]


PENSTOCK = """
server: {{port: {port}}}
auth:
  keys:
    - {{name: app, key: "{key}", role: user, rpm: 10000000, tpm: 10000000000, budget_usd: 1000000, parallel: 10000}}
    - {{name: ops, key: "sk-benchmark-ops-key", role: admin}}
providers: [{{name: up, kind: openai, base_url: "{upstream}", api_key: sk-upstream}}]
models: [{{name: bench, provider: up, model: gpt-4o-mini, price: {{input: 0.15, output: 0.6}}}}]
graphs: []
store: {{url: "sqlite:///{folder}/penstock.db"}}
"""


def _penstock(place: Place) -> Sequence[str]:
    path = place.write(
        "penstock.yaml", PENSTOCK.format(folder=place.folder, port=place.port, upstream=place.upstream, key=KEY)
    )
    return [sys.executable, "-m", "gateway", "serve", "--config", path]


# --- others'

LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "{upstream}", api_key: sk-upstream}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


def _litellm(place: Place) -> Sequence[str]:
    path = place.write("litellm.yaml", LITELLM.format(upstream=place.upstream, key=KEY))
    program = place.folder.parent / "litellm/bin/litellm"
    return [str(program), "--config", path, "--port", str(place.port), "--host", "127.0.0.1"]


PORTKEY = "@portkey-ai/gateway@1.15.2"


def _install_portkey(cache: Path) -> None:
    folder = cache / "portkey"
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == PORTKEY:
        return
    if shutil.which("npm") is None:
        raise Unavailable("npm is not installed")
    print("installing portkey ...", file=sys.stderr)
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
    _run("npm", "install", "--no-fund", "--no-audit", PORTKEY, cwd=folder)
    stamp.write_text(PORTKEY, encoding="utf-8")


def _portkey(place: Place) -> Sequence[str]:
    start = place.folder.parent / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return [shutil.which("node") or "node", str(start), f"--port={place.port}", "--headless"]


def _portkey_headers(upstream: str) -> Mapping[str, str]:
    return {"authorization": "Bearer sk-upstream", "x-portkey-provider": "openai", "x-portkey-custom-host": upstream}


def gateways(upstream: str) -> Sequence[Gateway]:
    """All of them, over this upstream."""
    return (
        Gateway("nginx", "nginx", _nginx, _find_nginx),
        Gateway("lean_asgi", "raw ASGI over our client, by hand", _script("raw_asgi", "penstock")),
        Gateway("raw_asgi", "raw ASGI over aiohttp, by hand", _script("raw_asgi", "aiohttp")),
        Gateway("penstock", "Penstock", _penstock),
        Gateway(
            "fastapi",
            "FastAPI + httpx2",
            _script("plain_fastapi", python=lambda place: str(place.folder.parent / "fastapi/bin/python")),
            _venv("fastapi", "fastapi==0.165.0", "uvicorn[standard]==0.54.0", "httpx2==2.16.2"),
        ),
        Gateway(
            "portkey", "Portkey", _portkey, _install_portkey, _portkey_headers(upstream), {"NODE_ENV": "production"}
        ),
        Gateway(
            "litellm",
            "LiteLLM",
            _litellm,
            _venv("litellm", "litellm[proxy]==1.106.2"),
            environment={"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        ),
    )
