"""A document and the files that it is written to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import Fault, OutputError
from scaling.reporting.document import Document
from scaling.runs.files import write_atomic


@dataclass(frozen=True)
class Report:
    """A laid-out report.

    Attributes
    ----------
    document : Document
    """

    document: Document

    def html(self) -> str:
        """Return one self-contained HTML page."""
        from scaling.reporting.renderers.html import render

        return render(self.document)

    def pdf(self) -> bytes:
        """Return a PDF; needs the ``pdf`` extra."""
        from scaling.reporting.renderers.pdf import render

        return render(self.document)

    def markdown(self) -> str:
        """Return Markdown."""
        from scaling.reporting.renderers.markdown import render

        return render(self.document)

    def text(self) -> str:
        """Return text for a terminal of 80 columns."""
        from scaling.reporting.renderers.terminal import render

        return render(self.document)

    def write(self, path: str | Path) -> None:
        """Write the rendering that the ending of `path` names: .html, .pdf, .md or .txt.

        Raises
        ------
        OutputError
            SC003 for another ending or a place that cannot be written.
        """
        path = Path(path)
        renderers: dict[str, Callable[[], str | bytes]] = {
            ".html": self.html,
            ".pdf": self.pdf,
            ".md": self.markdown,
            ".txt": self.text,
        }
        if path.suffix not in renderers:
            raise OutputError(
                Fault(
                    "SC003",
                    str(path),
                    f'no rendering for "{path.suffix}"',
                    "one of " + ", ".join(renderers),
                )
            )
        write_atomic(path, renderers[path.suffix]())

    def _repr_html_(self) -> str:
        v = self.document.verdict
        from html import escape

        return f"<p><b>{escape(v.level)}</b>: {escape(v.headline)}<br>{escape(v.sure)}</p>"
