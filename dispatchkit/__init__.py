"""Batch analytics and routing for on-demand delivery: what happened, and what to do next."""

__version__ = "0.1.0"
