"""What is built into the bone that stays: a stem in the ilium, the cup that it carries, and how both lie in the pelvis."""
