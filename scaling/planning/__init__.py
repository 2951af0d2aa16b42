"""Study file to points: designs, shapes, recipes and cost."""
