"""The built-in agent types, which run on workers like any other task (a later issue)."""
