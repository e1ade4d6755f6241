"""The floors of the library: modules import downstairs only, and what is special stays in one."""

import ast
import sys
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
    {"cautions", "tables"},
    {"graph", "population"},
    {"estimation"},
    {"report"},
    {"arguments", "normalization", "inference", "compiled", "predictor", "shipping", "versions"},
    {"__main__"},
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


IMPORTED = {name: imported(tree) for name, tree in MODULES.items()}
BELOW = {
    name: {other for other in MODULES if f"bnrewrite.{other}" in names}
    for name, names in IMPORTED.items()
}


def test_modules_import_each_other_without_a_circle() -> None:
    order = list(TopologicalSorter(BELOW).static_order())
    assert set(order) == set(MODULES)
    order.remove("__main__")  # which nothing imports either
    assert order[-1] == "__init__"


def test_modules_import_from_their_own_floor_and_from_those_below() -> None:
    for name, others in BELOW.items():
        for other in others if name != "__init__" else ():
            assert floor(other) <= floor(name), f"{name} imports {other}"
            both = {room(name), room(other)}
            assert both != INDEPENDENT, f"{name} imports {other}"


def test_each_engine_is_imported_by_one_module_and_one_knows_both() -> None:
    engines = {name: packages(name) & {"aesara", "pytensor"} for name in MODULES}
    assert {name: found for name, found in engines.items() if found} == {
        "graph.on_aesara": {"aesara"},
        "graph.on_pytensor": {"pytensor"},
    }
    for module in ("graph.on_aesara", "graph.on_pytensor"):
        assert [name for name, below in BELOW.items() if module in below] == ["graph.engine"]


def names_of(module: str) -> set[str]:
    """What a module gives to those who import all of it."""
    names: set[str] = set()
    for node in MODULES[module].body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names |= {alias.asname for alias in node.names if alias.asname}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_both_engines_have_the_same_names() -> None:
    assert names_of("graph.on_aesara") == names_of("graph.on_pytensor")


def at_once(tree: ast.AST) -> set[str]:
    """The packages that a module imports when it is imported: not in functions, nor for types."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.split(".")[0] for name in imported(node)}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            found |= set() if is_for_types else at_once(node)
    return found


def test_population_needs_numpy_alone() -> None:
    for name, tree in MODULES.items():
        if room(name) == "population":
            foreign = at_once(tree) - set(sys.stdlib_module_names) - {"bnrewrite"}
            assert foreign <= {"numpy"}, name


def test_tables_of_others_are_made_in_one_module_within_functions() -> None:
    made = {name for name in MODULES if packages(name) & {"pandas", "xarray"}}
    assert made == {"population.frames"}
    assert not at_once(MODULES["population.frames"]) & {"pandas", "xarray"}


def test_matplotlib_is_imported_by_reports_within_functions() -> None:
    drawing = {name for name in MODULES if "matplotlib" in packages(name)}
    assert {room(name) for name in drawing} == {"report"}
    for name in drawing:
        assert "matplotlib" not in at_once(MODULES[name]), name


def test_layout_of_loops_is_known_in_two_places() -> None:
    for known in ("ScanArgs", "take_apart"):
        knowing = {name for name, tree in MODULES.items() if known in str(imported(tree))}
        engines = {"graph.on_aesara", "graph.on_pytensor"}
        assert knowing - engines <= {"graph.loops", "graph.boundaries"}
