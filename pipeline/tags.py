"""The tags of a run by which others know whose it is and what it makes."""

PARTITION = "dagster/partition"
# Whose the others are: a run that is tried again has the tags of the one before.
RUN, HOST, PID, WORK, HEARTBEAT = "rec/run", "rec/host", "rec/pid", "rec/work", "rec/heartbeat"
VARIANT = "rec/variant"  # DATASET@VARIANT, of a run with settings of its own
