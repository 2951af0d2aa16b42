"""The canonical figures: a module a kind, each with its data as a pure function and a drawing."""
