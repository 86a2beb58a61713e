"""Tuning a recipe: many trainings of one model with different values, and the recipe of the best."""
