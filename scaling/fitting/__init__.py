"""Table and law to fit: objectives, solver, intervals, isoFLOP minima, allocation, checks."""
