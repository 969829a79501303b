"""Tests; a package so that `tests.epics` can be imported from all of them."""
