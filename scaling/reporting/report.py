"""A document and the files that it is written to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import Fault, OutputError
from scaling.reporting.document import Document
from scaling.runs.files import write_atomic


@dataclass(frozen=True, repr=False)
class Report:
    """A laid-out report, that every rendering takes its words and numbers from.

    Attributes
    ----------
    document : Document
        Verdicts, sections and footer.

    Examples
    --------
    >>> found = sc.report(fit)
    >>> found.markdown().splitlines()[0][:2]
    '# '
    """

    document: Document

    def html(self, template: str | Path | None = None) -> str:
        """Return one self-contained HTML page.

        Parameters
        ----------
        template : str or Path, optional
            A Jinja template that overrides parts of the page.
        """
        from scaling.reporting.renderers.html import render

        return render(self.document, template)

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

    def json(self) -> str:
        """Return JSON, ``scaling/report@1``."""
        from scaling.reporting.renderers.data import render

        return render(self.document)

    def write(self, path: str | Path, *, template: str | Path | None = None) -> None:
        """Write the rendering that the ending of `path` names: .html, .pdf, .md, .txt or .json.

        Parameters
        ----------
        path : str or Path
        template : str or Path, optional
            For HTML: a Jinja template that overrides parts of the page.

        Raises
        ------
        OutputError
            SC003 for another ending or a place that cannot be written.
        """
        path = Path(path)
        renderers: dict[str, Callable[[], str | bytes]] = {
            ".html": lambda: self.html(template),
            ".pdf": self.pdf,
            ".md": self.markdown,
            ".txt": self.text,
            ".json": self.json,
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

    def __repr__(self) -> str:
        return f"Report({self.document.title!r}, {len(self.document.sections)} sections)"

    def _repr_html_(self) -> str:
        """Return the answer alone, as a notebook shows it."""
        from scaling.reporting.notebook import html_of_verdicts

        return html_of_verdicts(self.document.verdicts)
