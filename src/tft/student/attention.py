"""Attention over packed rows: each segment sees its ancestors and itself; no more is computed.

An explicit mask over a row of T tokens costs T x T whatever it hides: on two cores, packed rows of
4,096 tokens take 1.6 times as long with it (benchmarks/attention.py). Registered with transformers,
so that any of its decoder models can be switched to it.
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
    """Exact attention of a packed row, in the signature of transformers' attention functions.

    Args:
        module: the attention layer, for its number of query heads per key-value head.
        query: [1, heads, T, d]; key and value: [1, key-value heads, T, d].
        key: see query.
        value: see query.
        attention_mask: ignored; `segments` says what is visible.
        scaling: of the scores before the softmax.
        dropout: of the attention weights.
        segments: (from, to, ranges visible in full) for each run of tokens; see `pack.Row`.

    Returns:
        [1, T, heads, d] and no weights.
    """
    assert segments is not None, "rows from tft.student.pack carry their segments"
    # Under autocast the norms of queries and keys leave them in float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs = []
    for start, end, sees in segments:
        ranges = [*sees, (start, end)]
        keys = torch.cat([key[:, :, a:b] for a, b in ranges], 2)
        values = torch.cat([value[:, :, a:b] for a, b in ranges], 2)
        # Lower-right causal: what a segment sees in full lies before it, itself is a triangle.
        bias = causal_lower_right(end - start, keys.shape[2])
        outputs.append(
            scaled_dot_product_attention(
                query[:, :, start:end], keys, values, bias, dropout, scale=scaling
            )
        )
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(SEGMENTS, segment_attention)
