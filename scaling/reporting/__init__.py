"""Fits to document to HTML, PDF, Markdown and terminal text."""

from scaling.reporting.build import build
from scaling.reporting.report import Report

__all__ = ["Report", "build"]
