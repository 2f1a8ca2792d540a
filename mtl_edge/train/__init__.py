"""Training of multi-task networks, alone or under a teacher."""
