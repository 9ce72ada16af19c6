"""Measurements; see docs/performance.md. Nothing here is a test."""
