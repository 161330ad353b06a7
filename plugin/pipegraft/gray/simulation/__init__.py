"""Whole gray releases, simulated by the thousand: the real judge and state machine over made-up worlds.

It needs numpy, the optional extra `simulate`.
"""
