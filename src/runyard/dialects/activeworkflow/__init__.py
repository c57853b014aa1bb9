"""The ActiveWorkflow REST API, version 1 (a later issue)."""
