"""Configuration of Sphinx; ``make docs`` builds the site into ``build/docs``."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import make_reference  # noqa: E402 - it stands beside this file

from ioc import __version__  # noqa: E402

project = "attpc-ioc"
project_copyright = "the attpc-ioc developers"
version = release = __version__

extensions = ["myst_parser", "sphinxcontrib.mermaid", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"attpc-ioc {release}"
html_copy_source = False

make_reference.write(DOCS / "reference")
