"""Bringing a database forward to the schema of this release."""
