"""The predicate compiler for lists under filters: allowed columns, bound values."""
