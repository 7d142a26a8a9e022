"""Programs that developers run; nothing of the daemon needs them."""
