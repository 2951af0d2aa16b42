"""What the site makes of a notebook: a page of Markdown, with its pictures beside it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

PANDAS, PLAIN = '<table border="1" class="dataframe">', "<table>"  # as tables of the other pages


def on_files(files: Files, config: Any) -> Files:
    """Put a page in the place of each notebook; outputs are those that were committed."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(file.src_uri)
        names = {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        source = Path(config.docs_dir) / path
        text, more = MarkdownExporter().from_filename(str(source), resources=names)
        text = text.replace(PANDAS, PLAIN) + f"\n\n[This page as a notebook]({path.name})\n"
        files.append(File.generated(config, str(path.with_suffix(".md")), content=text))
        for name, content in more["outputs"].items():
            files.append(File.generated(config, str(path.parent / name), content=content))
    return files
