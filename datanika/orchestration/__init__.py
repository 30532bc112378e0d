"""The control plane's side of Prefect: deployments, submissions, states."""
