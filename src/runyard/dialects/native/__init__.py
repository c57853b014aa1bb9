"""Runyard's own HTTP API."""
