"""A document as HTML, PDF, Markdown, terminal text and JSON, a module each."""
