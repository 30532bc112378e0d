"""Ad hoc jobs on Celery: ``celery -A datanika.tasks worker``."""

from datanika.tasks.app import app
from datanika.tasks.test_connection import test_connection

__all__ = ["app", "test_connection"]
