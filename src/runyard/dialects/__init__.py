"""The doors for programs: one package per dialect, none of which knows another."""
