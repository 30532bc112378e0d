"""A dbt project of somebody else's as transformations, and back: pure, files in and specs out."""
