"""Ad hoc jobs on Celery: ``celery -A datanika.tasks worker``."""

from datanika.tasks import ad_hoc
from datanika.tasks.app import app

__all__ = ["ad_hoc", "app"]
