"""Modules import downstairs only, and one of them alone takes loops apart."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bnrewrite

MODULES = {
    path.stem: ast.parse(path.read_text()) for path in Path(bnrewrite.__path__[0]).glob("*.py")
}


def imported(tree: ast.Module) -> set[str]:
    """List what a module imports, at any place in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_modules_import_each_other_without_a_circle() -> None:
    floors = {
        name: {other for other in MODULES if f"bnrewrite.{other}" in imported(tree)}
        for name, tree in MODULES.items()
    }
    order = list(TopologicalSorter(floors).static_order())
    assert set(order) == set(MODULES)
    assert order[-1] == "__init__"
    for floor_0 in ("varlen", "graphs", "tables", "batches", "marks"):
        assert floors[floor_0] == set()


def test_arrays_are_averaged_without_aesara() -> None:
    for name in ("varlen", "accumulators", "population", "files", "tables"):
        assert not [module for module in imported(MODULES[name]) if module.startswith("aesara")]


def test_layout_of_loops_is_known_in_one_place() -> None:
    knowing = [name for name, tree in MODULES.items() if "aesara.scan.utils" in imported(tree)]
    assert knowing == ["scans"]
