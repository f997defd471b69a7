"""Imports point one way: service.http -> service.engine -> sampling -> models <- training."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "sampling", "training", "service", "winnow", "benchmarks")
WEB = ("fastapi", "starlette", "uvicorn", "httpx")

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "models": ("sampling", "training", "service", "winnow", "benchmarks", "asyncio", *WEB),
    "sampling": ("training", "service", "winnow", "benchmarks", "asyncio", *WEB),
    "training": ("service", "winnow", "benchmarks", *WEB),
    "service": ("training", "winnow", "benchmarks"),
    "service.engine": ("service.http", *WEB),
    "service.metrics": ("service.http", "service.engine", *WEB),
}
SERVER = "service.http.server"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def modules(root: Path) -> dict[str, Path]:
    """Dotted name of every Python file of the packages below ``root``."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported: everything outside functions and ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from at_import(child)


def imported(path: Path, module: str, module_level: bool = False) -> set[str]:
    """Dotted names that ``path`` imports, by statement or by ``import_module`` with a literal name."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in at_import(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= from_names(node, package)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return names


def from_names(node: ast.ImportFrom, package: str) -> set[str]:
    """``from a.b import c`` may import the module a.b or the module a.b.c: both."""
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, base] if base else parents)
    return {base} | {f"{base}.{alias.name}" for alias in node.names}


def violations(root: Path) -> list[str]:
    """Every import that the rule forbids: "importing module -> imported name"."""
    found = []
    for module, path in modules(root).items():
        barred = {name for layer, names in FORBIDDEN.items() if within(module, layer) for name in names}
        names = imported(path, module)
        found += [f"{module} -> {name}" for name in sorted(names) if any(within(name, b) for b in barred)]
    return found


def reached(root: Path, start: str) -> set[str]:
    """Names that importing ``start`` imports in turn, through the modules below ``root``."""
    known, seen, waiting = modules(root), set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in known:
            parents = [name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)]
            waiting += [*imported(known[name], name, module_level=True), *parents]
    return seen


def test_no_import_points_the_wrong_way() -> None:
    assert violations(ROOT) == []


def test_every_package_has_files_that_were_looked_at() -> None:
    names = modules(ROOT)
    assert all(any(within(name, package) for name in names) for package in (*FORBIDDEN, "winnow"))


def test_the_server_starts_without_training() -> None:
    names = reached(ROOT, SERVER)
    assert {"service.engine.engine", "sampling.streams", "models.bundle"} <= names  # the closure is not empty
    assert not [name for name in names if within(name, "training")]


def test_the_server_starts_without_telemetry() -> None:
    names = reached(ROOT, SERVER)
    assert "service.tracing" in names and not [name for name in names if within(name, "opentelemetry")]


def test_the_command_line_imports_training_only_inside_the_verbs_that_train() -> None:
    """The parser registers every verb: a module-level import in one of them would be paid by ``winnow serve``."""
    commands = [name for name in modules(ROOT) if within(name, "winnow")]
    assert "winnow.commands.serve" in commands and "winnow.commands.train" in commands
    eager = {name: [n for n in reached(ROOT, name) if within(n, "training")] for name in commands}
    assert not {name: names for name, names in eager.items() if names}


def plant(root: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


@pytest.mark.parametrize(
    ("name", "source", "caught"),
    [
        ("models/a.py", "import sampling", "models.a -> sampling"),
        ("models/a.py", "from training.gan import GanRun", "models.a -> training.gan"),
        (
            "models/deep/a.py",
            "def f():\n    import service.engine.loop as loop",
            "models.deep.a -> service.engine.loop",
        ),
        ("sampling/a.py", "import asyncio", "sampling.a -> asyncio"),
        ("sampling/a.py", "from fastapi import FastAPI", "sampling.a -> fastapi"),
        ("sampling/__init__.py", "from training import gan", "sampling -> training.gan"),
        ("training/a.py", "if True:\n    from service import engine", "training.a -> service.engine"),
        ("service/engine/a.py", "import starlette.responses", "service.engine.a -> starlette.responses"),
        ("service/engine/a.py", "from ..http import schemas", "service.engine.a -> service.http.schemas"),
        ("service/engine/a.py", "from service import http", "service.engine.a -> service.http"),
        ("service/metrics/a.py", "from service.engine import queue", "service.metrics.a -> service.engine.queue"),
        ("service/http/a.py", "from training import gan", "service.http.a -> training.gan"),
        ("service/a.py", "import_module('training.gan')", "service.a -> training.gan"),
    ],
)
def test_the_checker_catches_a_planted_violation(tmp_path: Path, name: str, source: str, caught: str) -> None:
    plant(tmp_path, {name: source})
    assert caught in violations(tmp_path)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sampling/a.py", "from models.priors import Prior"),
        ("training/a.py", "import sampling.latentrs, models.bundle"),
        ("service/engine/a.py", "import asyncio\nfrom sampling import latentrs\nfrom service.metrics import registry"),
        ("service/http/a.py", "import fastapi\nfrom service.engine import engine"),
        ("models/a.py", "import modelservice, trainings"),
        ("models/a.py", '"""from training import gan"""'),
    ],
)
def test_the_checker_lets_the_right_way_pass(tmp_path: Path, name: str, source: str) -> None:
    plant(tmp_path, {name: source})
    assert violations(tmp_path) == []


def test_the_closure_follows_module_level_imports_and_those_alone(tmp_path: Path) -> None:
    files = {
        "winnow/a.py": "from service import b",
        "service/b.py": "def f():\n    import training",
        "service/__init__.py": "",
    }
    plant(tmp_path, files)
    assert "service.b" in reached(tmp_path, "winnow.a") and "training" not in reached(tmp_path, "winnow.a")
    plant(tmp_path, {"service/__init__.py": "try:\n    import training\nexcept ImportError:\n    pass"})
    assert "training" in reached(tmp_path, "winnow.a")
    plant(tmp_path, {"service/__init__.py": "if TYPE_CHECKING:\n    import training"})
    assert "training" not in reached(tmp_path, "winnow.a")
