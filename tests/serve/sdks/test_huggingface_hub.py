"""Hugging Face's InferenceClient, unmodified, against TEI's route for vectors."""

import numpy as np
from huggingface_hub import InferenceClient

from tests.serve.sdks.conftest import DOCUMENTS, QUERY, Service


def test_it_embeds(service: Service) -> None:
    client = InferenceClient(f"{service.url}/embed", token=service.key)
    [document] = client.feature_extraction(QUERY, normalize=True, truncate=True)
    [query] = client.feature_extraction(QUERY, prompt_name="query")
    assert np.isclose(np.linalg.norm(document), 1)
    assert not np.allclose(document, query)
    assert np.asarray(client.feature_extraction(DOCUMENTS)).shape == (len(DOCUMENTS), len(document))
