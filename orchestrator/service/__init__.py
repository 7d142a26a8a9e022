"""The daemon as a service of systemd: what systemd hands over and is told, the units, how they get there."""
