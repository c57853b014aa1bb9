"""The nouns: frozen values, states and errors. Nothing here does I/O or reads a clock."""
