"""How Sphinx builds the site: `sphinx-build -W --keep-going docs site`.

The site needs no network: not to be built, as nothing refers to the inventories of other projects,
and to be read only for formulas, which MathJax draws. The code on its pages is run by
`tests/test_documentation.py`.
"""

import bnrewrite

project = "bnrewrite"
author = "the authors of bnrewrite"
copyright = author
version = release = bnrewrite.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"  # `name` in a docstring is code, and a link if the site has a page of it
autodoc_typehints = "none"  # docstrings name the types, in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"bnrewrite {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
