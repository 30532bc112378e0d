"""The Reflex application: pages over states over services."""
