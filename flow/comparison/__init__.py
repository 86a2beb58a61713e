"""Is a difference a difference: ways to teach the same student, over several seeds."""
