"""The house itself: who may import whom, what must be complete, what must stand in one place only."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from starlette.routing import Route

from gateway.app import create_app
from gateway.config import load
from gateway.edge.body import ClientLeft
from gateway.faults import INTERNAL, TABLE, Fault
from gateway.ownership import NAMES, OURS, NameTaken, check_import_names

ROOT = Path(__file__).parent.parent
ORDER = ("gateway", "graph", "guardrails", "llm", "prompts")
"""Imports point right: each may import those behind it."""


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from (path for path in (ROOT / package).rglob("*.py") if "training" not in path.parts)


def named(paths: Iterable[Path]) -> set[str]:
    """Paths as the tree has them."""
    return {str(path.relative_to(ROOT)) for path in paths}


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules() -> Iterator[ModuleType]:
    """Every module of ours, imported."""
    for package in ORDER:
        root = importlib.import_module(package)
        yield root
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            if "training" not in info.name and not info.name.endswith("__main__"):
                yield importlib.import_module(info.name)


def test_imports_point_right() -> None:
    """gateway → graph → guardrails → llm → prompts, and never the other way."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for index, package in enumerate(ORDER)
        for path in sources(package)
        for name in imports(path)
        if name.partition(".")[0] in ORDER[:index]
    ]
    assert wrong == []


def test_the_engine_does_not_import_steps() -> None:
    """Steps import the engine; only what is made of steps knows both, and the front door of the package."""
    outside = {"steps", "agents", "models", "toolsets", "__init__.py"}
    engine = [path for path in sources("graph") if path.relative_to(ROOT / "graph").parts[0] not in outside]
    assert len(engine) > 40
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in engine
        for name in imports(path)
        if name.startswith(("graph.steps", "graph.agents"))
    ]
    assert wrong == []


def test_only_the_server_knows_the_server() -> None:
    """The app runs under any ASGI server; uvicorn is named in one file."""
    assert named(path for path in sources(*ORDER) if "uvicorn" in set(imports(path))) == {"gateway/serving/server.py"}


READS_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "expandvars", "EnvSettingsSource", "BaseSettings"}
"""What a module must name to read the environment: of ``os``, and of pydantic-settings."""


def test_only_config_reads_the_environment() -> None:
    """The settings do, and give what they read to whoever needs it."""
    readers = named(path for path in sources(*ORDER) if reads_environment(path.read_text(encoding="utf-8")))
    assert readers == {"gateway/config/settings.py", "gateway/config/providers.py"}


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import os\nx = os.environ['X']", True),
        ("import os\nx = os.environ.get('X')", True),
        ("import os\nx = os.getenv('X')", True),
        ("import os as o\nx = o.getenvb(b'X')", True),
        ("from os import environ as e\nx = e['X']", True),
        ("def f():\n    from os import getenv\n    return getenv('X')", True),
        ("from os.path import expandvars\nx = expandvars('$X')", True),
        ("from pydantic_settings import BaseSettings\nclass S(BaseSettings): x: str", True),
        ("import os\nos.replace('a', 'b')", False),
        ("def f(environ):\n    return environ.get('X')", False),
    ],
)
def test_who_reads_the_environment_is_found(source: str, reads: bool) -> None:
    """In whatever way it is written; a mapping that is handed in is no environment."""
    assert reads_environment(source) is reads


def reads_environment(source: str) -> bool:
    """Whether a module names something of ``os`` or of pydantic-settings that reads the environment."""
    tree = list(ast.walk(ast.parse(source)))
    modules = {alias.asname or alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    brought = {
        alias.name
        for node in tree
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "os.path", "posixpath", "pydantic_settings")
        for alias in node.names
    }
    used = {
        node.attr for node in tree if isinstance(node, ast.Attribute) and root_of(node).partition(".")[0] in modules
    }
    return bool((brought | used) & READS_ENVIRONMENT)


def root_of(node: ast.expr) -> str:
    """The name that a chain of attributes begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_httpx_is_not_imported() -> None:
    """httpx is unmaintained; neither it nor the openai SDK is a library of ours."""
    forbidden = {"httpx", "httpx2", "openai", "requests"}
    assert [path for path in sources(*ORDER) if {name.partition(".")[0] for name in imports(path)} & forbidden] == []


def test_aiohttp_only_serves_our_stand_ins() -> None:
    """The client that goes upstream is our own; the gateway does not load another one."""
    users = {path.name for path in sources(*ORDER) if "aiohttp" in {name.partition(".")[0] for name in imports(path)}}
    assert users == {"upstream.py"}


def test_exports_are_complete_and_sorted() -> None:
    """What a package imports into its front door is exported, in order, and nothing else."""
    for package in ("graph", "guardrails", "llm", "llm.chat", "llm.embedded", "llm.testing", "prompts"):
        module = importlib.import_module(package)
        exported = list(module.__all__)
        assert exported == sorted(exported, key=lambda name: (not name.isupper(), not name[0].isupper(), name)), package
        path = Path(str(module.__file__))
        brought = {
            alias.asname or alias.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom) and node.module != "__future__"
            for alias in node.names
        }
        assert brought == set(exported), package


def our_exceptions() -> set[type[BaseException]]:
    return {
        thing
        for module in modules()
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, BaseException) and thing.__module__.partition(".")[0] in ORDER
    }


STAY_INSIDE = {
    "ClientLeft",
    "FailedTogether",
    "FromBranch",
    "NameTaken",
    "UnusableGrammar",
    "WorkerFailed",
    "_Failed",
    "_Left",
    "_NotPlain",
    "_Unreadable",
}
"""Exceptions that no caller can see: nobody is there, the gateway has not started, or it is caught where it is made."""


def test_every_exception_has_a_row_in_the_error_table() -> None:
    """Each of our exceptions finds a row by itself or by a class above it; only few never reach a caller."""
    missing = {
        error.__name__
        for error in our_exceptions()
        if error.__name__ not in STAY_INSIDE and not any(kind in TABLE for kind in error.__mro__)
    }
    assert missing == set()
    assert {ClientLeft.__name__, NameTaken.__name__} < STAY_INSIDE


def test_an_unknown_exception_tells_nothing() -> None:
    """What is in no row is a 500 without the exception's words."""
    fault = Fault.of(KeyError("sk-secret"))
    assert (fault.status, fault.message) == (INTERNAL.status, INTERNAL.message)


def test_every_exception_is_drawn_in_the_docstring_of_its_module() -> None:
    """The error trees are drawn where the errors are defined."""
    for name in (
        "gateway.errors",
        "graph.errors",
        "llm.errors",
        "guardrails.errors",
        "llm.embedded.errors",
        "prompts.errors",
    ):
        module = importlib.import_module(name)
        own = [
            thing.__name__
            for thing in vars(module).values()
            if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__ == name
        ]
        assert [error for error in own if error not in str(module.__doc__)] == [], name


def test_every_route_is_in_the_table_of_endpoints() -> None:
    """No route of the app can be reached that the table does not list; and every row leads somewhere."""
    gate = create_app(load())
    listed = {(endpoint.method, endpoint.path) for endpoint in gate.table.endpoints}
    control = next(endpoint.app for endpoint in gate.table.endpoints if endpoint.path == "/v1/models")
    routed = set()
    for route in all_routes(control.routes):
        routed |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
    assert routed - listed == set()
    hot = {(endpoint.method, endpoint.path) for endpoint in gate.table.endpoints if endpoint.app is not control}
    assert listed - routed == hot


def all_routes(routes: Iterable[object]) -> Iterator[Route]:
    """The routes of an app, and of the routers that it includes."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from all_routes(getattr(route, "original_router").routes)  # noqa: B009 - private class


def test_every_admin_route_takes_the_role_admin() -> None:
    """Admin is a role in the table."""
    roles = {endpoint.path: endpoint.role for endpoint in create_app(load()).table.endpoints}
    assert {role for path, role in roles.items() if path.startswith("/admin")} == {"admin"}
    assert {role for path, role in roles.items() if path.endswith(("/load", "/unload"))} == {"admin"}
    assert {path for path, role in roles.items() if role == "anyone"} == {
        "/v2",
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
    }


def test_a_stranger_that_owns_one_of_our_names_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution with a package ``llm`` stops the start, with the remedy in one sentence."""
    check_import_names()
    stranger = tmp_path / "llm_stranger-1.0.dist-info"
    stranger.mkdir()
    (stranger / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-stranger\nVersion: 1.0\n")
    (stranger / "RECORD").write_text("llm/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NameTaken, match=r"'llm-stranger' also provides the package 'llm'.*pip uninstall llm-stranger"):
        check_import_names()


def test_the_packages_are_those_that_are_checked() -> None:
    """The start-up check covers every package that the wheel installs."""
    assert sorted(NAMES) == sorted(ORDER)
    assert OURS == "penstock"


@pytest.mark.parametrize("package", ORDER)
def test_every_public_class_and_function_has_a_docstring(package: str) -> None:
    """A reader of the tree finds a sentence at every door."""
    bare = []
    for path in sources(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            bare.append(path.name)
        for node in tree.body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name[0] == "_":
                continue
            if not ast.get_docstring(node):
                bare.append(f"{path.name}: {node.name}")
    assert bare == []
