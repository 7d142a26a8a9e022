"""The control socket: how a person or a script on this machine talks to the running daemon."""
