"""The command line: one module per noun, which turns options into calls and results into text."""
