"""What a call costs: at most, before it is made, and really, when the usage is known."""

from collections.abc import Sequence
from decimal import Decimal

from orchestrator.llm.client import Message, Usage
from orchestrator.settings.llm import ModelSettings

TOKENS_A_CALL = 64
"""What an endpoint may add to a question by itself: its frame, and a sentence of its own."""
TOKENS_A_MESSAGE = 16
"""The frame of one message: role and separators."""
MILLION = 1_000_000


def cost(model: ModelSettings, usage: Usage) -> Decimal:
    """In the currency of the prices; exact."""
    spent = Decimal(str(model.input_price)) * usage.input_tokens
    return (spent + Decimal(str(model.output_price)) * usage.output_tokens) / MILLION


def highest_cost(model: ModelSettings, messages: Sequence[Message], answer_tokens: int) -> Decimal:
    """No call of this question costs more: a token stands for a byte at least."""
    asked = sum(len(message.text.encode()) + TOKENS_A_MESSAGE for message in messages) + TOKENS_A_CALL
    return cost(model, Usage(asked, answer_tokens))
