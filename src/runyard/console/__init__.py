"""The door for people: pages, templates and assets (a later issue)."""
