"""The ELMA RPA task queue (a later issue)."""
