"""Ways to draw a Scene."""
