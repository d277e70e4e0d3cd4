"""Comparing pipelines: datasets, measures, significance tests, reports, judges, probes and tuning."""
