"""Point to record: the loop, checkpoints, tasks and engines."""
