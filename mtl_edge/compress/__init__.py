"""Making a network smaller: structured pruning."""
