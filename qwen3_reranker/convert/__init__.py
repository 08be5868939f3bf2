"""A checkpoint in any layout -> any other layout, and how far its scores moved."""

from qwen3_reranker.convert.conversion import ENCODINGS_OF, LAYOUTS, Conversion, convert
from qwen3_reranker.convert.parity import BOUNDS, Parity, measure_parity

__all__ = ["BOUNDS", "ENCODINGS_OF", "LAYOUTS", "Conversion", "Parity", "convert", "measure_parity"]
