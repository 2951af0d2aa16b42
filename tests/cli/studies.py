"""A study of four small models on a Markov chain, trained in seconds."""

GRID = """schema = 1
[data]
source = "markov"
options = {symbols = 16, tokens = 60000, validation_tokens = 8000}
[model]
context = 16
layers = 1
[design]
kind = "grid"
params = [9e2, 1.9e3]
data = [4e3, 8e3]
"""
