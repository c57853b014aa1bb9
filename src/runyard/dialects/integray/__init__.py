"""The Integray Remote API (a later issue)."""
