"""Training a network: the loop, optimisers, processes and evaluation. Importing its modules imports torch."""
