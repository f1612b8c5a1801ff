"""The sample trace store: a throwaway PostgreSQL, traces to fill it with, secrets to find.

This room plays the administrator. It logs in as the owner with plain psycopg, never
through the guard, and nothing but `cli` and tests may use it.
"""
