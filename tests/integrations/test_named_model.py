"""Components that name the same model share it, and let it go together."""

import gc
import os
import pickle
import threading
from pathlib import Path
from weakref import ref

import pytest

from qwen3_reranker import Embedder, InputError, ModelNotFoundError, Reranker
from qwen3_reranker.integrations.named_model import NamedModel


def test_a_model_is_opened_when_it_is_used_and_once_for_equal_options(small_checkpoint: Path) -> None:
    first = NamedModel(Reranker, small_checkpoint, {"max_length": 300, "num_threads": 1})
    second = NamedModel(Reranker, str(small_checkpoint), {"num_threads": 1, "max_length": 300})
    other = NamedModel(Reranker, small_checkpoint, {"max_length": 301})
    assert first == second != other
    assert first.open() is second.open() is pickle.loads(pickle.dumps(first)).open()
    assert other.open() is not first.open()
    with pytest.raises(ModelNotFoundError):
        NamedModel(Reranker, "no such folder", {}).open()


def test_threads_that_begin_together_open_one_model(small_checkpoint: Path) -> None:
    found: list[Reranker] = []
    named = [NamedModel(Reranker, small_checkpoint, {"max_length": 77}) for _ in range(4)]
    threads = [threading.Thread(target=lambda each=each: found.append(each.open())) for each in named]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1


def test_a_model_goes_with_the_last_component_that_uses_it(small_checkpoint: Path) -> None:
    first, second = (NamedModel(Reranker, small_checkpoint, {"max_length": 78}) for _ in range(2))
    opened = ref(first.open())
    assert second.open() is opened()
    first.close()
    gc.collect()
    assert opened() is second.open()
    second.close()
    gc.collect()
    assert opened() is None
    assert first.open().rank("query", ["a document"])


def test_one_that_somebody_closed_is_opened_again_for_the_next(small_checkpoint: Path) -> None:
    first = NamedModel(Reranker, small_checkpoint, {"max_length": 79}).open()
    first.close()
    assert NamedModel(Reranker, small_checkpoint, {"max_length": 79}).open() is not first


def test_an_opened_model_is_used_as_it_is_and_kept(small_reranker: Reranker) -> None:
    named = NamedModel(Reranker, small_reranker, {})
    named.close()
    assert named.open() is small_reranker


def test_options_of_the_other_class_and_of_nobody_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(InputError, match="model must be a name, a path or an open Reranker, got NoneType"):
        NamedModel(Reranker, None, {})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown option 'dim'"):
        NamedModel(Reranker, "nano", {"dim": 32})
    with pytest.raises(InputError, match="unknown option 'truncate_queries'"):
        NamedModel(Embedder, "nano", {"truncate_queries": True})
    with pytest.raises(InputError, match="max_length must be a whole number"):
        NamedModel(Embedder, "nano", {"max_length": 0})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_child_forked_while_a_model_is_opened_opens_its_own(small_checkpoint: Path) -> None:
    from qwen3_reranker.integrations import named_model

    with named_model._OPENED._lock:
        child = os.fork()
        if not child:
            ranking = NamedModel(Reranker, small_checkpoint, {"max_length": 80}).open().rank("query", ["a", "b"])
            os._exit(0 if len(ranking) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
