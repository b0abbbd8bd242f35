"""Who gets how much when there is not enough for all: fair turns, and rates."""
