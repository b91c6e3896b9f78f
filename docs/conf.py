"""Sphinx settings of the site: the executed notebooks, and an API reference made from the docstrings.

make site builds it into build/site. Nothing is executed and nothing is fetched: notebooks appear with the outputs they
were saved with, and the formulas' script lies beside the pages.
"""

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import yolo_lite
from yolo_lite.hyperparameters import descriptions

project = "yolo-lite"
author = "the yolo-lite authors"
copyright = author
version = release = yolo_lite.__version__

extensions = [
    "myst_nb",  # Markdown and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # Args, Returns, Raises
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # formulas without a network
]
# The source folder is the repository, so that README, notebooks and links between them are what they are on GitHub.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**/*.md",
    "docs/*.md",
    "notebooks/*.ipynb",
    "benchmarks/*.md",
    "tests/golden/README.md",
    "binder/README.md",
]
exclude_patterns = ["build/**", ".venv/**"]

nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # the PNG instead
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_use_type_comments = False  # there are none, and looking for them takes a tenth of the time
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
suppress_warnings = ["ref.python"]  # fields of the same name, such as size, in several results
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "sphinx_book_theme"
html_title = "yolo-lite"
html_static_path: list[str] = []
templates_path = ["_templates"]
html_additional_pages = {"index": "to_start.html"}
html_theme_options = {"show_navbar_depth": 1}
# The pages of the source, one for each module, without the table of contents: it would take most of the time.
html_sidebars = {"_modules/**": ["navbar-logo.html", "search-button-field.html"]}


def list_settings(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Adds what the fields of a dataclass say of themselves, such as those of Hyperparameters, to its page."""
    if what == "class" and dataclasses.is_dataclass(obj):
        for field, description in descriptions(obj).items():
            lines += ["", f"``{field}`` = {getattr(obj, field)!r}", f"    {description}"]


def show_recipes(app: Any, docname: str, source: list[str]) -> None:
    """Adds each program that the page of recipes lists: what its docstring says, and its code."""
    if docname != "docs/recipes":
        return
    for title, file in re.findall(r"^\* \[(.+)\]\((recipes/\w+\.py)\)$", source[0], re.MULTILINE):
        documented = ast.parse((Path(app.confdir) / file).read_text(encoding="utf-8"))
        code = f"```{{literalinclude}} {file}\n:lines: {(documented.body[0].end_lineno or 0) + 2}-\n```"
        said = (ast.get_docstring(documented) or "").replace("``", "`")
        source[0] = source[0].replace(f"]({file})", f"](#{Path(file).stem})")
        source[0] += f"\n({Path(file).stem})=\n\n## {title}\n\n{said}\n\n{code}\n"


def setup(app: Any) -> None:
    """What Sphinx calls first."""
    app.connect("source-read", show_recipes)
    app.connect("autodoc-process-docstring", list_settings)
