"""The tiny base: a Qwen3 of at most 5 M parameters and its tokenizer, before any training."""

from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tft.student.template import END_OF_TURN, TEMPLATE

PAD = "<|endoftext|>"
MARKERS = ("<|im_start|>", END_OF_TURN)
TAGS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>")

# Capitalised words and numbers never carry their leading space, so that a name is the same tokens
# wherever it stands: after a space in what a user says, after a quote in a call. A model this small
# copies tokens, it does not learn which different tokens spell the same name. Lower-case words do
# carry it (values in lower case are mostly enumerated in the tools), and each piece of JSON
# punctuation and of a call's frame is one token, so that the dialogues get no longer for it.
WORDS = (
    r'\{"name": "|", "arguments": \{"|": \{"|": \["|": "|", "|"\}, \{"|\[\{"|"\}\]|"\}\}|"\}|\{"'
    r"| ?[\p{Ll}_][\p{L}_]*|\p{L}[\p{L}_]*|\p{N}{1,2}|\s|[^\s\p{L}\p{N}_]"
)


ROPE_THETA = 1e6  # Qwen3's
SLOW_ANGLE = 5e-4  # radians a token: half a radian in a thousand tokens
FAST_PAIRS = 3
BEFORE = 4  # of the slow pairs that match the token before the current one
COPY_STRENGTH = 3.0  # of what is copied, against the token itself


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over `texts`, with Qwen3's markers as single tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[
            *(AddedToken(token, special=True, normalized=False) for token in (PAD, *MARKERS)),
            *(AddedToken(token, special=False, normalized=False) for token in TAGS),
        ],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END_OF_TURN,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
    )


def random_model(tokenizer: PreTrainedTokenizerFast, **shape: int) -> Qwen3ForCausalLM:
    """An untrained Qwen3 of the given shape (keywords of `Qwen3Config`), embeddings tied."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
        **shape,
    )
    return Qwen3ForCausalLM(config)


@torch.no_grad()
def wire_copying(model: Qwen3ForCausalLM) -> None:
    """Start from an induction circuit instead of hoping for one: [A] [B] [C] ... [A] [B] -> [C].

    Copying rests on two attention layers (Olsson et al. 2022, https://arxiv.org/abs/2209.11895): in
    the first, heads write each token's predecessors beside it; in the second, heads look for the
    place whose predecessor is the current token, and output what stands there. It emerges late
    because neither half pays without the other. Here layers 0 and 1 are initialised to it, and
    training keeps what it can use: on random repeated spans of 128 tokens the loss falls from 5.8
    to 0.8 nats in 0.1 M tokens, where an ordinary initialisation is still at 8.3 after 0.8 M.

    Where the current token stands in several places ("Bora Bora Grill"), the token before it
    decides: the match counts it too, for less, because a copy's beginning has another one before.
    """
    config = model.config
    size, head = config.hidden_size, config.head_dim
    groups = config.num_attention_heads // config.num_key_value_heads
    angles = ROPE_THETA ** (-2 * torch.arange(head // 2) / head)  # radians a token
    # RoPE pairs dimension i with i + head/2. The slow pairs hardly turn within a context: there,
    # equal content matches at any distance.
    slow = [i for i in range(head // 2) if angles[i] < SLOW_ANGLE]
    slow += [i + head // 2 for i in slow]

    # Orthogonal directions: one that all embeddings share, by which a head can ask for a position
    # whatever the content; what is read of a token; where its successor and the next one keep a
    # note of it.
    basis = torch.linalg.qr(torch.randn(size, size))[0]
    common, read, *notes = basis[:, : 1 + 3 * len(slow)].split([1, *[len(slow)] * 3], dim=1)
    embeddings = model.model.embed_tokens.weight
    embeddings.normal_(0, size**-0.5)
    embeddings += (1 - embeddings @ common) * common.T

    first, second = (layer.self_attn for layer in model.model.layers[:2])
    for index, note in enumerate(notes):
        # The fast pairs tell neighbours apart; a key turned ahead by one token (two for the second
        # note) meets the next query (the one after).
        query, key = torch.zeros(2, head)
        query[:FAST_PAIRS] = 1
        ahead = (index + 1) * angles
        key[: head // 2] = query[: head // 2] * ahead.cos()
        key[head // 2 :] = query[: head // 2] * ahead.sin()
        value, written = torch.zeros(head, size), torch.zeros(size, head)
        value[: len(slow)] = read.T
        written[:, : len(slow)] = note
        heads = slice(index * groups * head, (index + 1) * groups * head)
        keys = slice(index * head, (index + 1) * head)
        first.q_proj.weight[heads] = query.repeat(groups)[:, None] * common.T
        first.k_proj.weight[keys] = key[:, None] * common.T
        first.v_proj.weight[keys] = value
        first.o_proj.weight[:, heads] = written.repeat(1, groups) / groups

    # What the second layer matches: the current token, in most of the slow dimensions, and its
    # predecessor. Notes are longer than what they were taken from, by the norm before layer 0.
    pairs = len(slow) // 2
    current = [i for i, at in enumerate(slow) if at % (head // 2) >= head // 2 - pairs + BEFORE]
    before = [i for i in range(len(slow)) if i not in current]
    length = size**0.5 / embeddings.norm(dim=1).mean()
    queries = second.q_proj.weight.zero_().view(-1, head, size)
    keys_of = second.k_proj.weight.zero_().view(-1, head, size)
    for matched, asked, found in ((current, read, notes[0]), (before, notes[0] / length, notes[1])):
        at = [slow[i] for i in matched]
        queries[:, at] = asked.T[matched]
        keys_of[:, at] = found.T[matched]
    second.q_norm.weight.fill_(2.0)  # a match outweighs a thousand chance similarities
    for index in range(config.num_key_value_heads):
        content = torch.linalg.qr(torch.randn(size, head))[0]
        second.v_proj.weight[index * head : (index + 1) * head] = content.T
        heads = slice(index * groups * head, (index + 1) * groups * head)
        second.o_proj.weight[:, heads] = content.repeat(1, groups) * COPY_STRENGTH / groups
