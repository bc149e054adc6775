"""Benchmarks, run by ``python -m rankdet.tools.benchmark``.

A benchmark is a module of this package with a function ``main(arguments)``; the dict ``BENCHMARKS``
in ``__main__.py`` names it.
"""
