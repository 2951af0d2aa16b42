"""Extrapolation by many laws at once: `law="auto"`."""
