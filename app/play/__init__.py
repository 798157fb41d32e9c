"""History played to a service: what is posted when, and how close answers come to training's."""
