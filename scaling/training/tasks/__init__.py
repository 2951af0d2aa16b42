"""Tasks: data in a fixed order, the model of a shape, its loss and its metrics."""
