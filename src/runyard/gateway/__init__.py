"""The door for workers: one WebSocket per worker."""
