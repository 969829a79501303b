"""The core decides what to do, in which order, and why something is refused. Pure: no clock, no loop, no network.

`step.step` takes a state and an event and returns the next state and the effects for the engine; see its module.
"""
