"""Teacher networks for distillation. Each makes different errors, so their mean is better than any one of them.

Every teacher maps ids (B, T) and mask (B, T) to `Output`, uses the student's tokenizer, and exists only in training.
"""

# B batch, T tokens, D width, C classes

from __future__ import annotations

import torch
from torch import Tensor, nn

from demo_app_text_classifier.model import Config, Output, TextClassifier, pool


class TextCnn(nn.Module):
    """Max-pooled convolutions of three widths: Kim 2014, https://arxiv.org/abs/1408.5882."""

    def __init__(self, config: Config, filters: int = 100) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.convs = nn.ModuleList(nn.Conv1d(config.width, filters, size, padding=size // 2) for size in (1, 3, 5))
        self.head = nn.Linear(3 * filters, len(config.labels))
        self.dropout = nn.Dropout(0.5)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, ids: Tensor, mask: Tensor) -> Output:
        x = self.dropout(self.embedding(ids)) * mask[..., None]  # (B, T, D)
        matches = [conv(x.transpose(1, 2)).relu().transpose(1, 2) for conv in self.convs]  # 3 times (B, T, filters)
        top = torch.cat([pool(match, mask, "max") for match in matches], dim=-1)  # (B, 3 filters)
        return Output(self.head(self.dropout(top)))


class BiLstm(nn.Module):
    """A bidirectional LSTM, pooled by mean and maximum of its states."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.lstm = nn.LSTM(config.width, config.width // 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.width, len(config.labels))
        self.dropout = nn.Dropout(0.4)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, ids: Tensor, mask: Tensor) -> Output:
        x = self.dropout(self.embedding(ids)) * mask[..., None]  # (B, T, D)
        states, _ = self.lstm(x)  # (B, T, D); backwards it starts in the padding, which sorted batches keep short
        return Output(self.head(self.dropout(pool(states, mask, "mean_max"))))


class Average(nn.Module):
    """Pooled word vectors and one hidden layer, like the deep averaging network of Iyyer et al. 2015."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.hidden = nn.Linear(2 * config.width, config.width)
        self.head = nn.Linear(config.width, len(config.labels))
        self.dropout = nn.Dropout(0.3)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, ids: Tensor, mask: Tensor) -> Output:
        hidden = self.hidden(self.dropout(pool(self.embedding(ids), mask, "mean_max"))).relu()  # (B, D)
        return Output(self.head(self.dropout(hidden)))


TEACHERS: dict[str, type[nn.Module]] = {
    "average": Average,
    "cnn": TextCnn,
    "lstm": BiLstm,
    "transformer": TextClassifier,
}
