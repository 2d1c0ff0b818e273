"""The attempts: each is a function `run(ground)` that returns a line for its cases of each kind and
raises `Violation`.
"""
