"""Training a network: schedule, trainer, optimisers, processes and evaluation. These modules import torch."""
