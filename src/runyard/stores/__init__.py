"""The memory: one contract, shared table code, and SQL files for each database."""
