"""Low-rank adapters (Hu et al. 2022): the encoder's matrices are frozen, and a product of two thin ones is learned beside each.

During training a linear layer computes W x + (alpha / r) B A x with A of shape (r, d) and B, which starts at 0, of shape
(D, r). At the end the product is added to W, so that the model is saved, read and used as a source like any other.
"""

from __future__ import annotations

from typing import Any

from transfercast.core.errors import MissingExtraError

RANK, ALPHA, DROPOUT = 8, 16, 0.1


class Adapters:
    """Adapters beside every linear layer of a model's encoder; the constructor adds them.

    Args:
        model: its encoder's own weights are frozen; those of its head are not.

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
        """Add the learned products to the encoder's own matrices, and remove the adapters."""
        self._tuner.merge_and_unload()
