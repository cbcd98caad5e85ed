"""The page: one tab for each demo, the Status tab, and the pieces that tabs are made of.

Plugins import from here `widgets`, `lessons` and `visitors` alone; all else belongs to the host.
"""
