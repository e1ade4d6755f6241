"""The floors of the library: modules import downstairs only, and what is special stays in one."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bnrewrite

ROOT = Path(bnrewrite.__path__[0])
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text())
    for path in ROOT.rglob("*.py")
}
# From the ground up: a module may import from its own floor, and from those below.
FLOORS = [
    {"cautions"},
    {"graph", "population"},
    {"estimation"},
    {"report"},
    {"arguments", "normalization", "inference"},
]
INDEPENDENT = {"graph", "population"}


def imported(tree: ast.AST) -> set[str]:
    """List what is imported, at any place."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def packages(name: str) -> set[str]:
    """The foreign packages that a module imports."""
    return {n.split(".")[0] for n in imported(MODULES[name])} - {"__future__", "bnrewrite"}


def room(name: str) -> str:
    return name.split(".")[0]


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room(name) in rooms)


BELOW = {
    name: {other for other in MODULES if f"bnrewrite.{other}" in imported(tree)}
    for name, tree in MODULES.items()
}


def test_modules_import_each_other_without_a_circle() -> None:
    order = list(TopologicalSorter(BELOW).static_order())
    assert set(order) == set(MODULES)
    assert order[-1] == "__init__"


def test_modules_import_from_their_own_floor_and_from_those_below() -> None:
    for name, others in BELOW.items():
        for other in others if name != "__init__" else ():
            assert floor(other) <= floor(name), f"{name} imports {other}"
            both = {room(name), room(other)}
            assert both != INDEPENDENT, f"{name} imports {other}"


def test_one_module_alone_imports_the_engine() -> None:
    assert [n for n in MODULES if packages(n) & {"aesara", "pytensor"}] == ["graph.engine"]


def test_population_needs_numpy_alone() -> None:
    import sys

    for name in MODULES:
        if room(name) == "population":
            assert packages(name) - set(sys.stdlib_module_names) <= {"numpy"}, name


def test_matplotlib_is_imported_by_reports_within_functions() -> None:
    drawing = {name for name in MODULES if "matplotlib" in packages(name)}
    assert {room(name) for name in drawing} == {"report"}
    for name in drawing:
        at_once = [
            node
            for node in MODULES[name].body
            if isinstance(node, ast.Import | ast.ImportFrom) and "matplotlib" in str(imported(node))
        ]
        assert at_once == [], name


def test_layout_of_loops_is_known_in_two_places() -> None:
    knowing = {name for name, tree in MODULES.items() if "ScanArgs" in str(imported(tree))}
    assert knowing <= {"graph.engine", "graph.loops", "graph.boundaries"}
