"""How it runs: the definitions that Dagster loads, jobs and schedules, and what `make` calls before and after a run."""
