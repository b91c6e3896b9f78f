"""Training: parameter groups, schedule, EMA."""
