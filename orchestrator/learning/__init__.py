"""What the daemon learns from its posts: which topic, format and hour people like."""
