"""What makes a daemon of it: the sequencer, the schedule, systemd, and the control socket."""
