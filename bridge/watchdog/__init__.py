"""The watchdog: Monit's rules for accessories. It restarts what runs and never starts what does not.

rules.py     a person's sentence -> Rule
settings.py  `watchdog:` in the configuration
decide.py    what a cycle means, pure: Monit's semantics
meter.py     what an accessory uses, from control groups and processes
guard.py     one accessory's cycles
memory.py    what outlives the bridge: restarts, who gave up, who is disarmed
watchdog.py  all of them, and the switches that arm them
"""
