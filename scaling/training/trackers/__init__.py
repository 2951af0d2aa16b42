"""Trackers: a copy of what training says, for those who watch runs elsewhere."""
