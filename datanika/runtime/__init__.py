"""Starts and supervises everything on one machine: no Docker, no root, no system service."""

from datanika.runtime.platform import PlatformFailed, RunningRuntime, Runtime

__all__ = ["PlatformFailed", "RunningRuntime", "Runtime"]
