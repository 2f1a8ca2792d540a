"""Training of multi-task networks, from labels alone or under a teacher too.

Also balancing of the tasks' losses or gradients, schedules, weight averages, augmentation, checkpoints that a killed
training goes on from, and several processes.
"""
