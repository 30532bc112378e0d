"""Starts and supervises everything on one machine: no Docker, no root, no system service."""
