"""Benchmarks, run by `python -m rankdet.tools.benchmark`.

A benchmark is a module of this package with a docstring and a function `main(argv)`; the list
`BENCHMARKS` in `__main__.py` names it.
"""
