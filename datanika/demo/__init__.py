"""The demo: a year of flights out of New York, loaded, transformed, tested and checked."""
