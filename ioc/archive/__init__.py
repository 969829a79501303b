"""Looks after filed runs: run cards, checksums, safe copies."""
