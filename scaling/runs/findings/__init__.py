"""What a table that can be read should still make its reader wonder about.

Each finder looks for one mistake that moves exponents without breaking anything: a factor of 1e9, a
training curve taken for runs, losses of two tokenizers in one column. Findings are messages with a
code, the rows and how to mend it; nothing is left out because of them.
"""
