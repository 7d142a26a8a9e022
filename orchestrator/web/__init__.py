"""What the daemon says over HTTP."""
