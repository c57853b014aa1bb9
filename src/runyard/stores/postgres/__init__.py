"""The database for many machines: PostgreSQL through psycopg."""
