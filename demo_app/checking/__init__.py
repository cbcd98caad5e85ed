"""What `demo-app check` and `demo-app selfcheck` find."""
