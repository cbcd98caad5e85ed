"""Decoder: a Transformer that writes token by token, and lets a visitor stand inside the loop.

Not a plugin yet: network, published weights, sampling, the decode loop and training are here, the tab is to come.
"""
