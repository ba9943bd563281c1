"""Low-rank adapters (Hu et al. 2022): the encoder's matrices stay, and a product of two thin ones is learned beside each.

While it learns, a linear layer gives W x + (alpha / r) B A x, A being (r, d) and B, which begins as 0, (D, r). At the end the
product is added to W, so that the model is saved, read and transferred from as any other.
"""

from __future__ import annotations

from typing import Any

from transfercast.core.errors import MissingExtraError

RANK, ALPHA, DROPOUT = 8, 16, 0.1


class Adapters:
    """Adapters beside every linear layer of a model's encoder, which are there from now on.

    Args:
        model: its encoder's own weights take no more gradients; its head's do.

    Raises:
        MissingExtraError: without peft.
    """

    def __init__(self, model: Any) -> None:
        try:
            from peft import LoraConfig, LoraModel
        except ImportError as error:
            raise MissingExtraError("adaptation 'lora' needs: pip install 'transfercast[peft]'.") from error
        layers = [name for name, module in model.base_model.named_modules() if type(module).__name__ in ("Linear", "Conv1D")]
        conv = any(type(module).__name__ == "Conv1D" for module in model.base_model.modules())  # GPT-2's, transposed
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=layers, fan_in_fan_out=conv)
        self._tuner = LoraModel(model.base_model, config, "default")

    def merge(self) -> None:
        """Add what was learned to the encoder's own matrices, and take the adapters away."""
        self._tuner.merge_and_unload()
