"""The policy: its values, its file, and the judge who decides by it."""
