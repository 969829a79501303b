"""The live page: what the IOC is doing now and what it has recorded, for browsers.

A process of its own. It monitors PVs as any Channel Access client and reads the run database; it can write neither.
`monitors` keeps one set of subscriptions for all viewers, `live` what is to be shown, `stream` sends each viewer what
has changed since it was last sent something. `pages` answers everything else, `guard` says who is answered.
"""
