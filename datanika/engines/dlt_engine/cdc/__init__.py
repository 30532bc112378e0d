"""Change data capture: PostgreSQL tables kept equal by the changes in their server's log."""
