"""The composition root: settings and the application made of all parts."""
