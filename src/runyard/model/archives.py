"""Bundles as archives: what their bytes may be like."""

import zipfile
import zlib

DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
)
"""What the reading of a damaged archive raises; names that are no text are a ValueError."""
