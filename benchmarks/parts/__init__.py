"""The parts of the table: each takes the ground and a scale, and gives figures."""
