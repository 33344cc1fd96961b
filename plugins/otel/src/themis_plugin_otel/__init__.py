"""Traces and metrics of runs, by OpenTelemetry."""
