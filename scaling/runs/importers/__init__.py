"""Reading what other programs left behind: one file a program, one small interface."""
