"""The composition root: puts the parts together, runs them, alone chooses real or simulated."""
