"""What the box does on site when there is an alarm. One file each; shared parts in `_base.py`."""
