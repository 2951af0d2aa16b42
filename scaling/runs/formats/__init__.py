"""Formats of files: from bytes to cells with their places, and no further."""
