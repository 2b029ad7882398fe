"""What comes down from the cloud: commands, and the configuration that it wants; and what goes up beside events."""
