"""Sphinx settings of the site: the executed notebooks, and an API reference made from the docstrings.

make site builds it into build/site. Nothing is executed and nothing is fetched: notebooks appear with the outputs they
were saved with, the explorers as docs/frozen_explorers.py froze them before, and all scripts lie beside the pages.
"""

import ast
import dataclasses
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yolo_lite
from yolo_lite.hyperparameters import descriptions

sys.path.insert(0, str(Path(__file__).parent))
from front_page import cards_html, cards_of, without_setup, write_pictures

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
html_static_path = ["_static"]
html_css_files = ["front_page.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "to_start.html"}
html_theme_options = {"show_navbar_depth": 1}
LIVE = ("docs/index", "docs/live")  # pages with frozen explorers
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


def show_frozen(app: Any, docname: str, source: list[str]) -> None:
    """Puts the explorers that docs/frozen_explorers.py froze in their places, and their script below."""
    if docname not in LIVE:
        return
    folder = folder_of_frozen(app)

    def put(found: re.Match[str]) -> str:
        page = folder / f"{found[1]}.html"
        if not page.is_file():
            return "*(This site was built without its frozen explorers; `make site` freezes them.)*"
        return f"```{{raw}} html\n{page.read_text(encoding='utf-8')}\n```"

    source[0] = re.sub(r"^<!-- frozen: (\w+) -->$", put, source[0], flags=re.MULTILINE)
    if (folder / "frozen.js").is_file():
        source[0] += '\n```{raw} html\n<script src="../_static/frozen/frozen.js" defer></script>\n```\n'


def show_cards(app: Any, docname: str, source: list[str]) -> None:
    """Puts the cards of the tour in their place on the front page."""
    if docname == root_doc:
        cards = cards_html(cards_of(Path(app.srcdir)))
        source[0] = source[0].replace("<!-- cards -->", f"```{{raw}} html\n{cards}\n```")


def leave_out_setup(app: Any, docname: str, source: list[str]) -> None:
    """Takes the cell that installs the library on Colab off the page of a notebook."""
    if docname.startswith("notebooks/"):
        source[0] = without_setup(source[0])


def copy_frozen(app: Any, problem: Exception | None) -> None:
    """Puts what the frozen explorers are made of beside the pages."""
    if problem is None and app.builder.format == "html":
        place = Path(app.outdir) / "_static" / "frozen"
        place.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder_of_frozen(app).glob("*.js")):
            shutil.copyfile(file, place / file.name)


def write_cards(app: Any, problem: Exception | None) -> None:
    """Puts the pictures of the cards beside the pages."""
    if problem is None and app.builder.format == "html":
        write_pictures(Path(app.srcdir), Path(app.outdir) / "_static" / "cards")


def folder_of_frozen(app: Any) -> Path:
    """Where docs/frozen_explorers.py wrote: the setting frozen_folder, from the project's folder on."""
    return Path(app.srcdir) / app.config.frozen_folder


def setup(app: Any) -> None:
    """What Sphinx calls first."""
    app.add_config_value("frozen_folder", "build/frozen", "env")
    app.connect("source-read", show_frozen)
    app.connect("source-read", show_cards)
    app.connect("source-read", leave_out_setup)
    app.connect("build-finished", copy_frozen)
    app.connect("build-finished", write_cards)
    app.connect("source-read", show_recipes)
    app.connect("autodoc-process-docstring", list_settings)
