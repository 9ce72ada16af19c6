"""Bundles: planned, put together, gated by limits, packed, compared and described."""
