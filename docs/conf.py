"""How `make docs` builds the site: Sphinx with furo, pages in Markdown (MyST), the reference from docstrings."""

from transfercast.core.version import VERSION

project = "transfercast"
author = "The transfercast authors"
release = version = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config,__init__,__new__,__post_init__"}
napoleon_google_docstring = True
napoleon_use_ivar = True
python_display_short_literal_types = True
html_theme = "furo"
html_title = f"transfercast {VERSION}"
html_static_path = ["_static"]
html_theme_options = {"top_of_page_buttons": []}
