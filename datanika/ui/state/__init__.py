"""States: the bridge between pages and services. They hold what a page shows, and nothing else."""
