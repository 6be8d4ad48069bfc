"""Inference parameters of a request, as far as the model's family takes them."""

from typing import Any

from asgi_gateway.canonical import Losses, Sampling
from asgi_gateway.dialects.bedrock_converse.models import family_of, samples_by_one, takes_no_sampling

__all__ = ["write_inference"]

LEAST_TOP_P = 0.95
"""What a thinking Claude takes of it."""


def write_inference(sampling: Sampling, model: str, additional: dict[str, Any], losses: Losses) -> dict[str, Any]:
    """The `inferenceConfig`. `additional` are the model's own fields: they say whether it thinks, and get `top_k`."""
    config: dict[str, Any] = {
        "maxTokens": sampling.max_output,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "stopSequences": list(sampling.stop) or None,
    }
    if sampling.temperature is not None and sampling.temperature > 1:
        losses.approximated("temperature")
        config["temperature"] = 1.0
    family, top_k = family_of(model), sampling.top_k
    if family == "claude":
        top_k = _for_claude(config, top_k, model, additional, losses)
    elif additional.get("reasoningConfig", {}).get("maxReasoningEffort") == "high":
        _leave_out(config, {"temperature": "temperature", "topP": "top_p", "maxTokens": "max_tokens"}, losses)
    if top_k is not None:
        if family == "claude":
            additional["top_k"] = top_k
        elif family == "nova":
            additional["inferenceConfig"] = {"topK": top_k}
        else:
            losses.dropped("top_k")
    return {name: value for name, value in config.items() if value is not None}


def _for_claude(
    config: dict[str, Any], top_k: int | None, model: str, additional: dict[str, Any], losses: Losses
) -> int | None:
    """Take out what a thinking or a newer Claude refuses; gives back what remains of `top_k`."""
    thinks = additional.get("thinking", {}).get("type") in ("enabled", "adaptive")
    bare = takes_no_sampling(model)
    top_p = config["topP"]
    if thinks or bare:
        if config["temperature"] == 1:  # what there is anyway
            config["temperature"] = None
        _leave_out(config, {"temperature": "temperature"}, losses)
        if top_p is not None and (top_p < LEAST_TOP_P or bare):
            _leave_out(config, {"topP": "top_p"}, losses)
        if top_k is not None:
            losses.dropped("top_k")
        return None
    if samples_by_one(model) and config["temperature"] is not None:
        _leave_out(config, {"topP": "top_p"}, losses)
    return top_k


def _leave_out(config: dict[str, Any], names: dict[str, str], losses: Losses) -> None:
    for name, told in names.items():
        if config[name] is not None:
            losses.dropped(told)
            config[name] = None
