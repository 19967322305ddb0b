"""The tiny base: a Qwen3 of at most 5 M parameters and its tokenizer, before any training."""

from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tft.student.template import END_OF_TURN, TEMPLATE

PAD = "<|endoftext|>"
MARKERS = ("<|im_start|>", END_OF_TURN)
TAGS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>")

# Capitalized words and numbers exclude the space before them, so that a name has the same tokens
# after a space in what a user says and after a quotation mark in a call. A model this small copies
# tokens; it does not learn which different tokens spell the same name. Lower-case words include
# their space, because values in lower case are mostly enumerated in the tools. To keep dialogues
# short, each piece of JSON punctuation and of the frame of a call is one token.
WORDS = (
    r'\{"name": "|", "arguments": \{"|": \{"|": \["|": "|", "|"\}, \{"|\[\{"|"\}\]|"\}\}|"\}|\{"'
    r"| ?[\p{Ll}_][\p{L}_]*|\p{L}[\p{L}_]*|\p{N}{1,2}|\s|[^\s\p{L}\p{N}_]"
)


ROPE_THETA = 1e6  # Qwen3's
SLOW_ANGLE = 5e-4  # radians per token: half a radian in a thousand tokens
FAST_PAIRS = 3
BEFORE = 4  # the number of slow pairs that match the token before the current one
COPY_STRENGTH = 3.0  # the weight of what is copied, relative to the token itself


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on `texts`, with Qwen3's markers as single tokens."""
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
    """An untrained Qwen3 of the given shape (keywords of `Qwen3Config`), with tied embeddings."""
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
    """Initialize the model with an induction circuit: [A] [B] [C] ... [A] [B] -> [C].

    Copying uses two attention layers (Olsson et al. 2022, https://arxiv.org/abs/2209.11895). In the
    first, heads store each token's predecessors beside it. In the second, heads look for the place
    whose predecessor is the current token, and output the token there. Such circuits emerge late,
    because neither half is useful without the other. Here layers 0 and 1 are initialized to one,
    and training keeps what it can use: on random repeated spans of 128 tokens the loss falls from
    5.8 to 0.8 nats in 0.1 M tokens, while with an ordinary initialization it is 8.3 after 0.8 M.

    If the current token occurs in several places ("Bora Bora Grill"), the token before it decides.
    It has less weight in the match, because at the start of a copy the token before differs.
    """
    config = model.config
    size, head = config.hidden_size, config.head_dim
    groups = config.num_attention_heads // config.num_key_value_heads
    angles = ROPE_THETA ** (-2 * torch.arange(head // 2) / head)  # radians per token
    # RoPE pairs dimension i with i + head/2. The slow pairs hardly rotate within a context, so that
    # equal content matches at any distance.
    slow = [i for i in range(head // 2) if angles[i] < SLOW_ANGLE]
    slow += [i + head // 2 for i in slow]

    # Orthogonal directions: one that all embeddings share, with which a head can query a position
    # independently of content; those in which a token is read; and those in which its successor and
    # the one after it store a note of it.
    basis = torch.linalg.qr(torch.randn(size, size))[0]
    common, read, *notes = basis[:, : 1 + 3 * len(slow)].split([1, *[len(slow)] * 3], dim=1)
    embeddings = model.model.embed_tokens.weight
    embeddings.normal_(0, size**-0.5)
    embeddings += (1 - embeddings @ common) * common.T

    first, second = (layer.self_attn for layer in model.model.layers[:2])
    for index, note in enumerate(notes):
        # The fast pairs distinguish neighbors. A key that is rotated ahead by one token (or two,
        # for the second note) matches the next query (or the one after it).
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

    # The second layer matches the current token, in most of the slow dimensions, and its
    # predecessor. The norm before layer 0 makes notes longer than the embeddings they are from.
    pairs = len(slow) // 2
    current = [i for i, at in enumerate(slow) if at % (head // 2) >= head // 2 - pairs + BEFORE]
    before = [i for i in range(len(slow)) if i not in current]
    length = size**0.5 / embeddings.norm(dim=1).mean()
    queries = second.q_proj.weight.zero_().view(-1, head, size)
    keys_of = second.k_proj.weight.zero_().view(-1, head, size)
    for matched, query_part, key_part in (
        (current, read, notes[0]),
        (before, notes[0] / length, notes[1]),
    ):
        at = [slow[i] for i in matched]
        queries[:, at] = query_part.T[matched]
        keys_of[:, at] = key_part.T[matched]
    second.q_norm.weight.fill_(2.0)  # a match outweighs a thousand chance similarities
    for index in range(config.num_key_value_heads):
        content = torch.linalg.qr(torch.randn(size, head))[0]
        second.v_proj.weight[index * head : (index + 1) * head] = content.T
        heads = slice(index * groups * head, (index + 1) * groups * head)
        second.o_proj.weight[:, heads] = content.repeat(1, groups) * COPY_STRENGTH / groups
