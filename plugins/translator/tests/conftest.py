"""One thread: the networks here are small, and several tests may share two CPUs."""

import torch

torch.set_num_threads(1)
