"""The named queries of the `.sql` files, loaded once."""
