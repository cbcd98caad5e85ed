"""File formats that can run code when they are loaded: `demo-app check` and `demo-app publish` refuse them."""

from __future__ import annotations

from pathlib import PurePosixPath

# Pickles, under the names that Python, PyTorch, Lightning, joblib and dill give them. `.npy` and `.npz` hold a pickle
# where an array has objects and the reader passes allow_pickle=True. The Keras formats hold bytecode of Lambda layers.
UNSAFE_SUFFIXES = (
    *(".pkl", ".pickle", ".cloudpickle", ".dill", ".joblib", ".pt", ".pth", ".pt2", ".ptl", ".bin", ".ckpt", ".nemo"),
    *(".npy", ".npz", ".h5", ".hdf5", ".keras"),
)

# The name under which repositories of the Hub publish a state dict where they have no safetensors.
# `demo_app.nn.weights.read` loads it with torch.load(weights_only=True), which runs no code.
PUBLISHED_STATE_DICT = "pytorch_model.bin"


def is_unsafe(name: str) -> bool:
    """Whether a file of that name may run code when it is loaded. Case does not matter; content is not read."""
    return PurePosixPath(name).suffix.lower() in UNSAFE_SUFFIXES
