"""Programs that maintain the repository; each is run as `python -m tools.<name>`."""
