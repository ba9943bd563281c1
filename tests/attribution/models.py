"""A tiny random classifier of every architecture, and tokenizers of every kind, made on the spot."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.conftest import WORDS

TEXTS = ["the film was good not bad", "we need water at the storm road", "help", "give it very good good good plot"]

VOCABULARY = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *WORDS]  # MPNet and RoBERTa take 1 for padding, whatever they are told

_SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "pad_token_id": 1, "initializer_range": 0.3, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "Electra": {"embedding_size": 8},
    "Albert": {"embedding_size": 8},
    "Deberta": {},
    "DebertaV2": {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True},
    "MPNet": {},
    "XLMRoberta": {},
    "ModernBert": {"cls_token_id": 2, "sep_token_id": 3},
    "GPT2": {},
    "Llama": {},
}

DECODERS = {"GPT2", "Llama"}


def classifier(name: str, head: str = "SequenceClassification", seed: int = 1, **options: Any) -> Any:
    """A random classifier of three classes; its padding embedding is not 0, where some normalisations are singular."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**_SIZES | {"num_labels": 3} | ARCHITECTURES[name] | options)
    model = getattr(transformers, f"AutoModelFor{head}").from_config(config).eval()
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.3)
    return model


def tokenizer_for(name: str) -> PreTrainedTokenizerFast:
    """Blank-separated words of VOCABULARY; encoders get [CLS] and [SEP], decoders nothing."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if name not in DECODERS:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


_CORPUS = ["we need water and help at the road", "see https://example.org/a?b=c now #help", "спасибо большое"] * 5
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def byte_level() -> PreTrainedTokenizerFast:
    """Byte pairs over bytes, as RoBERTa and GPT-2 have them."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        _CORPUS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")


def unigram() -> PreTrainedTokenizerFast:
    """A SentencePiece unigram model, as XLM-R, ALBERT and DeBERTa-v3 have them: blanks are pieces, too."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        _CORPUS, trainers.UnigramTrainer(vocab_size=90, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")


def byte_fallback() -> PreTrainedTokenizerFast:
    """Byte pairs over words with a blank before them, unknown characters as bytes, as Llama 2 has them."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    hexes = [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(_CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL + hexes, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")
