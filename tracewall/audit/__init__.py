"""The record: who asked what, what was decided, how it ended; chained and verifiable."""
