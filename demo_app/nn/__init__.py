"""Building blocks of the Transformer from first principles, in plain PyTorch. Importing this imports torch."""

from demo_app.nn.attention import MultiHeadAttention, scaled_dot_product_attention
from demo_app.nn.encoder import EncoderLayer, FeedForward
from demo_app.nn.positions import LearnedPositions, SinusoidalPositions, sinusoids

__all__ = [
    "EncoderLayer",
    "FeedForward",
    "LearnedPositions",
    "MultiHeadAttention",
    "SinusoidalPositions",
    "scaled_dot_product_attention",
    "sinusoids",
]
