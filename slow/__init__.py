"""Programs that take minutes and prove what a test cannot: `scripts/slow` runs them."""
