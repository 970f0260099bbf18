"""What a store meets without its callers' doing: forks, interrupts, signal handlers, vanished files, hostile agents."""
