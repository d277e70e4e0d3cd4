"""Which pipeline is better, and by how much: datasets, measures, tests of differences, reports, judges,
probes, tuning.
"""
