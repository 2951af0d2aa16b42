"""Models in torch that realise the shapes of `scaling.count`, to the last parameter."""
