"""The tags of a run by which others know whose it is and what it makes."""

PARTITION = "dagster/partition"
VARIANT = "rec/variant"  # DATASET@VARIANT, of a run with settings of its own
WHY = "rec/why"  # why a sensor asked for the run

# What only this project reads; the UI shows no tag that begins like this.
# RUN is whose the others are: a run that is tried again has the tags of the one before.
RUN, HOST, PID, WORK, HEARTBEAT = (f".dagster/rec_{what}" for what in ("run", "host", "pid", "work", "heartbeat"))
