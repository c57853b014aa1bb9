"""The application: the one place that chooses a database and joins all parts."""
