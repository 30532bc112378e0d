"""The REST API under ``/api/v1`` and the workers' internal API under ``/internal/v1``."""
