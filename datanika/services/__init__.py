"""Business logic and queries. Services take a session and an ``Actor``; they never commit."""
