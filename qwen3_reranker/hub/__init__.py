"""A model on this machine -> a repository on the Hub with its card. (weights/hub.py is the way back.)"""

from qwen3_reranker.hub.model_card import Origin, origin
from qwen3_reranker.hub.upload import Upload, check_access, prepare_upload, push

__all__ = ["Origin", "Upload", "check_access", "origin", "prepare_upload", "push"]
