"""What a hub's folder says of its model beside the graph: the settings of both layouts."""

from typing import Any

from tests.model.hub_weights import Weights


def settings_of(of: Weights, *, is_genai: bool) -> dict[str, Any]:
    """Return the settings by the name of their file."""
    tokens = of.field("tokenizer.ggml.tokens")
    bos, eos = (of.field(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    tokenizer = {
        "bos_token": tokens[bos],
        "eos_token": {"content": tokens[eos], "special": True},
        "chat_template": of.field("tokenizer.chat_template"),
    }
    if is_genai:
        decoder = {
            "filename": "model.onnx",
            "head_size": of.head_dim,
            "hidden_size": of.hidden,
            "num_attention_heads": of.heads,
            "num_key_value_heads": of.kv_heads,
            "num_hidden_layers": of.layers,
        }
        model = {
            "type": "llama",
            "bos_token_id": bos,
            "eos_token_id": [eos, 0],
            "vocab_size": of.vocabulary,
            "context_length": of.context,
            "decoder": decoder,
        }
        return {"genai_config.json": {"model": model}, "tokenizer_config.json": tokenizer}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": of.layers,
        "num_attention_heads": of.heads,
        "num_key_value_heads": of.kv_heads,
        "hidden_size": of.hidden,
        "head_dim": of.head_dim,
        "vocab_size": of.vocabulary,
        "max_position_embeddings": of.context,
        "tie_word_embeddings": of.is_tied,
        "bos_token_id": bos,
        "eos_token_id": eos,
    }
    return {
        "config.json": config,
        "generation_config.json": {"eos_token_id": [eos, 0]},
        "tokenizer_config.json": tokenizer,
    }
