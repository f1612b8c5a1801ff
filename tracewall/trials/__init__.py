"""Policies put on trial: tests of their decisions, and comparisons of one with another."""
