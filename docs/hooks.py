"""What the site makes of a notebook: a page of Markdown, with its pictures beside it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter


def on_files(files: Files, config: Any) -> Files:
    """Put a page in the place of each notebook; outputs are those that were committed."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(file.src_uri)
        prefix = {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        text, more = MarkdownExporter().from_filename(
            str(Path(config.docs_dir) / path), resources=prefix
        )
        text = text.replace(
            '<table border="1" class="dataframe">', "<table>"
        )  # as tables of a page
        text += f"\n\n[This page as a notebook]({path.name})\n"
        files.append(File.generated(config, str(path.with_suffix(".md")), content=text))
        for name, content in more["outputs"].items():
            files.append(File.generated(config, str(path.parent / name), content=content))
    return files
