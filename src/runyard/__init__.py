"""Runyard: a self-hosted control plane for automations."""
