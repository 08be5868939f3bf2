"""A conversion keeps the scores, says what it rounded, and leaves nothing half-done behind."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qwen3_reranker import Reranker
from qwen3_reranker.convert import ENCODINGS_OF, LAYOUTS, convert, measure_parity
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.layouts import edit_json, edit_tensors, write_adapter

pytestmark = pytest.mark.slow

# A small vocabulary makes small files.
NANO = open_checkpoint("nano")
TOKENIZER, VOCABULARY = NANO.folder / "tokenizer.json", NANO.config.vocab_size
PAIRS = [("query", "one document"), ("query", "another text"), ("frage", "ein dokument")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(
        tmp_path_factory.mktemp("model"),
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        initializer_range=0.2,
        dtype="BF16",
        tokenizer_file=TOKENIZER,
    )


def logits(folder: Path | str) -> np.ndarray:
    with Reranker(folder) as reranker:
        return reranker.logits(PAIRS)


def place(folder: Path, layout: str) -> Path:
    return folder / f"{layout}.gguf" if layout == "gguf" else folder / layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_that_rounds_nothing_scores_the_same_bits(layout: str, model: Path, tmp_path: Path) -> None:
    written = convert(open_checkpoint(model), place(tmp_path, layout), layout)
    assert written.exact
    assert open_checkpoint(written.path).layout == {"hf": "causal-lm"}.get(layout, layout)
    np.testing.assert_array_equal(logits(written.path), logits(model))
    assert [path.name for path in tmp_path.iterdir()] == [written.path.name]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(LAYOUTS, 2)))
def test_any_layout_becomes_any_other(first: str, second: str, model: Path, tmp_path: Path) -> None:
    middle = convert(open_checkpoint(model), place(tmp_path, first), first).path
    end = convert(open_checkpoint(middle), place(tmp_path, second), second).path
    assert np.abs(logits(end) - logits(model)).max() <= 1e-6


@pytest.mark.parametrize(
    ("layout", "encoding"), [(layout, each) for layout in ("hf", "gguf") for each in ENCODINGS_OF[layout]]
)
def test_a_rounded_conversion_says_so_and_moves_scores_as_far_as_its_rounding(
    layout: str, encoding: str, model: Path, tmp_path: Path
) -> None:
    written = convert(open_checkpoint(model), place(tmp_path, layout), layout, encoding)
    assert written.exact == (encoding in ("f32", "bf16"))
    moved = np.abs(logits(written.path) - logits(model)).max()
    spread = np.abs(logits(model)).max()
    # On AMX float32 is added in another order by weights of bfloat16 than by the same weights in float32.
    bound = {"f32": 1e-6, "bf16": 0, "f16": 1e-3, "q8_0": 0.1, "q4_0": 1.2}[encoding]
    assert moved <= bound * spread
    assert moved > 0 or written.exact


def test_an_untied_head_survives(tmp_path: Path) -> None:
    source = write_checkpoint(
        tmp_path / "untied", vocab_size=VOCABULARY, tied=False, initializer_range=0.2, tokenizer_file=TOKENIZER
    )
    for layout in LAYOUTS:
        written = convert(open_checkpoint(source), place(tmp_path, layout), layout)
        np.testing.assert_array_equal(logits(written.path), logits(source))


def test_an_untied_head_survives_through_a_layout_that_names_its_words(tmp_path: Path) -> None:
    source = write_checkpoint(
        tmp_path / "untied", vocab_size=VOCABULARY, tied=False, initializer_range=0.2, tokenizer_file=TOKENIZER
    )
    through = convert(open_checkpoint(source), tmp_path / "middle", "sentence-transformers").path
    end = convert(open_checkpoint(through), tmp_path / "end", "hf")
    assert end.exact
    np.testing.assert_array_equal(logits(end.path), logits(source))


def test_a_head_that_config_json_ties_away_survives(tmp_path: Path) -> None:
    source = write_checkpoint(
        tmp_path / "tied", vocab_size=VOCABULARY, store_head=True, initializer_range=0.2, tokenizer_file=TOKENIZER
    )
    head = load_file(source / "model.safetensors")["lm_head.weight"]
    for layout in LAYOUTS:
        written = convert(open_checkpoint(source), place(tmp_path, layout), layout)
        np.testing.assert_array_equal(logits(written.path), logits(source))
    for layout in ("hf", "sentence-transformers"):
        assert load_file(tmp_path / layout / "model.safetensors")["lm_head.weight"].equal(head)
        assert not json.loads((tmp_path / layout / "config.json").read_text())["tie_word_embeddings"]


def test_the_head_that_an_adapter_trained_on_a_tied_base_survives(tmp_path: Path, model: Path) -> None:
    shapes = {f"model.layers.{layer}.self_attn.q_proj": (32, 64) for layer in (0, 1)}
    adapter = write_adapter(tmp_path / "adapter", model, shapes, modules_to_save=["lm_head"])
    head = torch.randn((VOCABULARY, 64), generator=torch.Generator().manual_seed(1)) / 5
    edit_tensors(adapter / "adapter_model.safetensors", **{"base_model.model.lm_head.weight": head})
    for layout in LAYOUTS:
        written = convert(open_checkpoint(adapter), place(tmp_path, layout), layout)
        assert np.abs(logits(written.path) - logits(adapter)).max() <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("encoding", ENCODINGS_OF["gguf"])
def test_the_scores_of_any_gguf_file_survive_or_it_is_refused_before_anything_is_written(
    encoding: str, layout: str, model: Path, tmp_path: Path
) -> None:
    source = convert(open_checkpoint(model), tmp_path / "x.gguf", "gguf", encoding).path
    if encoding == "q4_0" and layout in ("hf", "sentence-transformers"):
        with pytest.raises(CheckpointError, match="is not the difference of the words yes and no"):
            convert(open_checkpoint(source), place(tmp_path, layout), layout)
        assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]
        return
    written = convert(open_checkpoint(source), place(tmp_path, layout), layout)
    assert np.abs(logits(written.path) - logits(source)).max() <= 1e-6
    assert written.exact
    if encoding == "q8_0" and layout == "hf":
        [head] = [tensor for name, tensor in open_checkpoint(written.path).tensors.items() if name == "lm_head.weight"]
        ids = [json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"][word] for word in ("yes", "no")]
        np.testing.assert_array_equal(head.rows(ids), open_checkpoint(source).head.tensor.read())


WORDS = ("<part-no>", " commit x")


@pytest.fixture
def with_words(tmp_path: Path) -> Path:
    """A model to whose tokenizer a fine-tuning added words."""
    folder = write_checkpoint(
        tmp_path / "words", vocab_size=VOCABULARY + 2, initializer_range=0.2, tokenizer_file=TOKENIZER
    )
    flags = {**dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False), "normalized": True}
    added = [{"id": number, "content": word, **flags} for number, word in enumerate(WORDS, VOCABULARY)]
    fields = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    edit_json(folder / "tokenizer.json", added_tokens=[*fields["added_tokens"], *added])
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_added_words_survive_with_their_scores(layout: str, with_words: Path, tmp_path: Path) -> None:
    pairs = [("which <part-no> is it", "the <part-no>"), ("q", "a commit x")]
    converted = convert(open_checkpoint(with_words), place(tmp_path, layout), layout).path
    with Reranker(with_words) as source, Reranker(converted) as ours:
        assert ours.tokens.added_words == {word: number for number, word in enumerate(WORDS, VOCABULARY)}
        np.testing.assert_array_equal(ours.logits(pairs), source.logits(pairs))


def test_a_word_that_gguf_cannot_describe_is_refused_before_anything_is_written(
    with_words: Path, tmp_path: Path
) -> None:
    added = json.loads((with_words / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    edit_json(with_words / "tokenizer.json", added_tokens=[*added[:-1], {**added[-1], "rstrip": True}])
    with pytest.raises(CheckpointError, match="the added word ' commit x' is found by rstrip, which GGUF cannot say"):
        convert(open_checkpoint(with_words), tmp_path / "x.gguf", "gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_a_judge_that_is_no_pair_of_words_has_no_place_in_a_causal_lm(tmp_path: Path, model: Path) -> None:
    classifier = convert(open_checkpoint(model), tmp_path / "classifier", "seq-cls").path
    weights = classifier / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = np.float32(1).tobytes()
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="is not the difference of the words yes and no"):
        convert(open_checkpoint(classifier), tmp_path / "again", "hf")
    gguf = convert(open_checkpoint(classifier), tmp_path / "again.gguf", "gguf").path
    np.testing.assert_array_equal(logits(gguf), logits(classifier))


def test_what_is_there_already_is_kept_unless_it_may_be_overwritten(model: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        convert(open_checkpoint(model), taken, "hf")
    assert (taken / "mine").exists()
    convert(open_checkpoint(model), taken, "hf", overwrite=True)
    assert not (taken / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("name", ["merged", "x.gguf", "sha256-00", "a.safetensors", "./nano", "org/name", "x:Q8_0"])
@pytest.mark.parametrize("layout", ["gguf", "seq-cls"])
def test_what_is_written_opens_under_the_name_it_was_given_or_nothing_is_written(
    layout: str, name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if layout == "seq-cls" and name == "x.gguf":
        with pytest.raises(InputError, match=r"x\.gguf has the suffix of a GGUF file, but seq-cls is a folder"):
            convert(open_checkpoint(model), name, layout)
        assert list(tmp_path.iterdir()) == []
        return
    convert(open_checkpoint(model), name, layout)
    np.testing.assert_array_equal(logits(name), logits(model))


def test_a_name_that_means_the_bundled_model_is_refused_before_anything_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for layout in ("gguf", "hf"):
        with pytest.raises(InputError, match="'nano' is the model that comes with the package"):
            convert(open_checkpoint(model), "nano", layout)
    assert list(tmp_path.iterdir()) == []


def test_a_gguf_file_never_takes_the_place_of_a_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is a folder, and gguf is written to a file"):
        convert(open_checkpoint(model), tmp_path / "mine", "gguf", overwrite=True)
    assert (tmp_path / "mine").is_dir()


def test_a_conversion_that_is_interrupted_leaves_nothing(model: Path, tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    for layout in LAYOUTS:
        with pytest.raises(KeyboardInterrupt):
            convert(open_checkpoint(model), place(tmp_path, layout), layout, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layout", "encoding", "message"),
    [("onnx", None, "unknown layout 'onnx'"), ("hf", "q8_0", "hf is written in f32, f16, bf16, got quantize='q8_0'")],
)
def test_what_cannot_be_asked_is_a_typed_error(
    layout: str, encoding: str | None, message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        convert(open_checkpoint(model), tmp_path / "x", layout, encoding)


def test_rows_that_are_no_whole_blocks_are_refused(tmp_path: Path) -> None:
    odd = write_checkpoint(tmp_path / "odd", vocab_size=VOCABULARY, hidden_size=36, tokenizer_file=TOKENIZER)
    with pytest.raises(InputError, match="rows of 36 numbers are not whole blocks of 32"):
        convert(open_checkpoint(odd), tmp_path / "odd.gguf", "gguf", "q8_0")
    assert not (tmp_path / "odd.gguf").exists()


def test_parity_holds_within_its_bound_alone(model: Path, tmp_path: Path) -> None:
    written = convert(open_checkpoint(model), tmp_path / "small.gguf", "gguf", "q4_0")
    parity = measure_parity(model, written.path, bound=1e-3)
    assert parity.pairs == 30
    assert not parity.holds
    assert measure_parity(model, written.path, bound=parity.max_delta).holds
