"""How long to wait before a failed run is tried again."""
