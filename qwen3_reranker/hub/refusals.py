"""What huggingface_hub raises -> one error of ours, in one line with what to do."""

from __future__ import annotations

from qwen3_reranker.errors import InputError, RerankerError, UploadError

TOKENS = "https://huggingface.co/settings/tokens"
_LOGIN = f"log in with `hf auth login` or set HF_TOKEN, with a token that may write ({TOKENS})"


def refused(error: Exception, repository: str) -> RerankerError:
    """The error to raise instead of `error`, which ended something that was done to the repository."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, RerankerError):
        return error
    if isinstance(error, LocalTokenNotFoundError):
        return UploadError(f"nothing was sent to {repository}, as no token of the Hub was found: {_LOGIN}")
    if isinstance(error, OfflineModeIsEnabled):
        return UploadError(f"nothing was sent to {repository}, as HF_HUB_OFFLINE is set: unset it")
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    if isinstance(error, HfHubHTTPError):
        said = getattr(error, "server_message", None) or reason
        said = " ".join(said.split()).rstrip(".")
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            return UploadError(f"the Hub does not know this token, so nothing was sent to {repository}: {_LOGIN}")
        if status == 403:
            return UploadError(
                f"this token may not write to {repository} ({said}): take one that may ({TOKENS}), or another owner"
            )
        return UploadError(f"the Hub refused {repository} with status {status} ({said})")
    if isinstance(error, ValueError) and "README.md" in str(error):
        return InputError(f"the Hub refuses the metadata of README.md: {' '.join(str(error).split())}")
    return UploadError(
        f"{repository} could not be sent to the Hub ({type(error).__name__}: {reason}): check the network and try again"
    )
