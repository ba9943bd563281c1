"""Sources, maps and predictors to and from the Hugging Face hub: safetensors and JSON, each with a card."""
