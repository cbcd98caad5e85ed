"""Building blocks of the Transformer from first principles, in plain PyTorch. Imports torch."""

from demo_app.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from demo_app.nn.cache import KeyValueCache
from demo_app.nn.decoder import CausalAttention, DecoderLayer, GatedFeedForward
from demo_app.nn.encoder import EncoderLayer, FeedForward
from demo_app.nn.norms import RMSNorm
from demo_app.nn.positions import LearnedPositions, SinusoidalPositions, sinusoids
from demo_app.nn.rotary import RotaryPositions, rotate

__all__ = [
    "CausalAttention",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "GatedFeedForward",
    "KeyValueCache",
    "LearnedPositions",
    "MultiHeadAttention",
    "RMSNorm",
    "RotaryPositions",
    "SinusoidalPositions",
    "rotate",
    "scaled_dot_product_attention",
    "sinusoids",
]
