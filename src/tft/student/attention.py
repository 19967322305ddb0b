"""Attention over packed rows: each segment attends to its ancestors and itself only.

An explicit mask over a row of T tokens costs T x T, however much it hides: on two cores, packed
rows of 4,096 tokens take 1.6 times as long with a mask (benchmarks/attention.py). The function is
registered with transformers, so that all of its decoder models can use it.
"""

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

SEGMENTS = "tft_segments"


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    segments: list[tuple[int, int, list[tuple[int, int]]]] | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Exact attention over a packed row, with the signature of transformers' attention functions.

    Args:
        module: The attention layer, which has the number of query heads per key-value head.
        query: Queries, [1, heads, T, d].
        key: Keys, [1, key-value heads, T, d].
        value: Values, [1, key-value heads, T, d].
        attention_mask: Ignored, because `segments` says what is visible.
        scaling: Factor of the scores before the softmax.
        dropout: Dropout probability of the attention weights.
        segments: (from, to, ranges that are visible in full) for each segment; see `pack.Row`.

    Returns:
        (outputs, [1, T, heads, d]; None in place of the attention weights).
    """
    assert segments is not None, "rows from tft.student.pack carry their segments"
    # Under autocast, the norms of queries and keys produce float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs = []
    for start, end, sees in segments:
        ranges = [*sees, (start, end)]
        keys = torch.cat([key[:, :, a:b] for a, b in ranges], 2)
        values = torch.cat([value[:, :, a:b] for a, b in ranges], 2)
        # Lower-right causal: a segment sees earlier ranges in full, and itself as a triangle.
        bias = causal_lower_right(end - start, keys.shape[2])
        outputs.append(
            scaled_dot_product_attention(
                query[:, :, start:end], keys, values, bias, dropout, scale=scaling
            )
        )
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(SEGMENTS, segment_attention)
