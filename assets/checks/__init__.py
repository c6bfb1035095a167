"""Asset checks: of a table itself, and against the generation before."""
