"""The core: decides what is done, in which order, and why not. Pure: no clock, no loop, no network.

`step.step` takes a state and an event and returns the next state and what the engine has to do; its module says how.
"""
