"""Pages of the site that are files of the repository, where they stand, and references made from the sources.

The repository's pages keep their places, so that links between them mean the same on the site as they do in a checkout;
links to files that are no pages (sources, configurations, the licence) lead to the file's name as text.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "docs/*.md", "docs/images/*", "notebooks/*.ipynb")
# What mkdocstrings takes for an entry of the reference.
ENTRY = """::: {home}
    options:
      heading: cw.{name}
      toc_label: cw.{name}"""
# Prints the help of every command; a process each, as flags of two drivers may have one name.
COMMANDS = """
import importlib, os, sys
from causeway.drivers.main import QUESTIONS
from causeway.drivers.flags import help
for name in QUESTIONS:
    sys.stdout.flush()
    if os.fork() == 0:
        module = importlib.import_module(f"causeway.drivers.{name}")
        print(f"\\n## causeway {name}\\n\\n```text\\n{help.page(name, module.__doc__, True)}\\n```")
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


@event_priority(100)
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's pages and the references, before other plugins look at the files."""
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    files.append(File.generated(config, "reference/python.md", content=public_names()))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    return files


@event_priority(100)
def on_page_markdown(markdown: str, page: object, config: MkDocsConfig, files: Files) -> str:
    """The page, its links to files of the checkout that are no pages turned into the files' names."""
    place = Path(page.file.src_uri).parent

    def shown(match: re.Match[str]) -> str:
        target = os.path.normpath(place / match[2].partition("#")[0])
        is_file = files.get_file_from_path(target) is None and (ROOT / target).exists()
        return f"{match[1]} (`{target}`)" if is_file else match[0]

    return re.sub(r"\[([^\]]+)\]\(([^):\s]+)\)", shown, markdown)


def public_names() -> str:
    """A page of all that `import causeway` offers, calls first, then what they take and give."""
    block = next(
        node for node in ast.parse((ROOT / "causeway/__init__.py").read_text()).body if isinstance(node, ast.If)
    )
    homes = {node.names[0].asname: f"{node.module}.{node.names[0].name}" for node in block.body}
    calls = sorted(name for name in homes if name[0].islower())
    classes = sorted(name for name in homes if name[0].isupper())
    parts = ["# Python reference", "All that `import causeway as cw` offers. [How to use it](../docs/python.md)."]
    for title, names in (("Calls", calls), ("Classes", classes)):
        parts += [f"# {title}", *(ENTRY.format(home=homes[name], name=name) for name in names)]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """A page of the help of every command, with all its flags."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMANDS], capture_output=True, text=True, env=environment, check=True
    )
    return f"# Commands and their flags\n\nWhat `causeway COMMAND --helpfull` says.\n{done.stdout}"
