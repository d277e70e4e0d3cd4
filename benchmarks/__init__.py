"""Measurements: `make bench` runs them all and writes docs/benchmarks.md; each module also runs by itself.

They need the shared data (a folder `shared` beside the checkout) and skip, saying so, where it is absent.
"""
