"""An adapter as a third party would write it, and what can go wrong in one."""
