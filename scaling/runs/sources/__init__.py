"""Data sources: what is trained on, made or read without torch."""
