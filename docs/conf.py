"""How Sphinx builds the site: `sphinx-build -W --keep-going docs site`.

The site needs no network, neither to be built nor to be read: nothing refers to the inventories of
other projects, and formulas become MathML, which browsers draw. The code on its pages is run by
`tests/test_documentation.py`.
"""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import bnrewrite

project = "bnrewrite"
author = "the authors of bnrewrite"
copyright = author
version = release = bnrewrite.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"  # `name` in a docstring is code, and a link if the site has a page of it
autodoc_typehints = "none"  # docstrings name the types, in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"bnrewrite {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False


def write_formula(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def write_displayed_formula(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that has lines of its own."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Tell Sphinx how formulas are written."""
    renderers = (write_formula, None), (write_displayed_formula, None)
    app.add_html_math_renderer("mathml", *renderers)
