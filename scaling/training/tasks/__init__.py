"""Tasks: data in a fixed order, the model of a shape, and its loss."""
