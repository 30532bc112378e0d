"""The flows that Prefect runs: one for every tenant pipeline, and the platform's maintenance."""
