"""The command line: look at files of populations without writing a program.

    python -m bnrewrite show population.npz
    python -m bnrewrite plot population.npz --out pictures
    python -m bnrewrite diff before.npz after.npz

No graph is built, and nothing is compiled: a compiler is not needed.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from bnrewrite.population.difference import difference_of
from bnrewrite.population.population import Population
from bnrewrite.report.drawn import source_of
from bnrewrite.report.plots import plot_population
from bnrewrite.tables import printable

_FILE = "what Population.save or InferenceGraph.save has written"


def show(given: Namespace) -> None:
    """Print what a file has, as a table."""
    population = Population.load(given.file)
    made_by = population.origin.made_by
    print(source_of(population) + (f", estimated with {made_by}" if made_by else ""))
    population.summary()


def plot(given: Namespace) -> None:
    """Draw all statistics of a file."""
    figures = plot_population(Population.load(given.file), given.out)
    print(f"{len(figures.by_name) + 1} pictures are in {given.out}")


def diff(given: Namespace) -> None:
    """Print how two files differ."""
    print(difference_of(Population.load(given.first), Population.load(given.second)))


def parser() -> ArgumentParser:
    """What can be said on the command line."""
    whole = ArgumentParser("python -m bnrewrite", description="Look at files of populations.")
    commands = whole.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("show", help="print a table of the statistics in a file")
    one.set_defaults(run=show)
    one.add_argument("file", help=_FILE)
    one = commands.add_parser("plot", help="draw the statistics in a file, as PNG files")
    one.set_defaults(run=plot)
    one.add_argument("file", help=_FILE)
    one.add_argument("--out", required=True, metavar="DIR", help="where to write; made if missing")
    one = commands.add_parser(
        "diff",
        help="compare two files, in units of their standard errors",
        description="Compare two files. Estimates of the same differ by about 1 standard error, "
        "and by more if they are from few batches, whose standard errors are not known well.",
    )
    one.set_defaults(run=diff)
    one.add_argument("first", help=_FILE)
    one.add_argument("second", help="another of these")
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 if a file can't be read or written."""
    given = parser().parse_args(arguments)
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError) as error:
        print(f"bnrewrite: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
