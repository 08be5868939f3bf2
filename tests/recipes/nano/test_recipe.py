"""The whole recipe at its smallest; a run that was stopped and resumed ends with the same weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from recipes.nano import data, export, recipe, tokenizer
from recipes.nano.cache import Cache
from recipes.nano.groups import Groups, Mix, tree
from recipes.nano.loop import Run, Schedule, targets
from recipes.nano.network import NanoNetwork
from recipes.nano.start import draw_together, grow, initialise, marks, meanings

SHORT = Schedule(minutes=None, steps=4, max_tokens=1500)
SMALLEST = replace(recipe.TINY, base_vocabulary=400, layers=2, schedule=SHORT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pairs_folder: Path) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("recipe")
    recipe.train(pairs_folder, folder / "work", folder / "model", SMALLEST, resume=False)
    return folder / "work", folder / "model"


@pytest.mark.slow
def test_the_recipe_s_folder_is_a_model_that_the_product_runs(finished: tuple[Path, Path]) -> None:
    with Reranker(str(finished[1])) as reranker:
        ranking = reranker.rank("Which thing is near 7?", ["The river sings.", "The cheese burns near 7."])
    assert len(ranking) == 2


@pytest.mark.slow
def test_the_recipe_s_record_names_data_seed_and_result(finished: tuple[Path, Path]) -> None:
    record = json.loads((finished[1] / "recipe.json").read_text(encoding="utf-8"))
    assert record["recipe"]["seed"] == SMALLEST.seed
    assert record["steps"] == 4
    assert set(record["data_sha256"]) == {"long.jsonl", "short.jsonl"}
    assert 0.0 < record["held_out_reciprocal_rank"]["mean"]["nano"] <= 1.0


def test_a_model_is_trained_on_from_an_earlier_one(
    finished: tuple[Path, Path], pairs_folder: Path, tmp_path: Path
) -> None:
    still = replace(SMALLEST, schedule=replace(SHORT, steps=1, matrix_rate=0.0, embedding_rate=0.0, vector_rate=0.0))
    recipe.train(pairs_folder, tmp_path / "work", tmp_path / "model", still, resume=False, start_from=finished[1])
    record = json.loads((tmp_path / "model" / "recipe.json").read_text(encoding="utf-8"))
    assert record["started_from"] == record["fingerprint"] == export.fingerprint(finished[1])


@pytest.mark.slow
def test_a_model_is_trained_on_with_more_pieces(
    finished: tuple[Path, Path], pairs_folder: Path, tmp_path: Path
) -> None:
    size = len(tokenizer.load(finished[1] / "tokenizer.json")["model"]["vocab"])
    larger = replace(SMALLEST, base_vocabulary=size + 20, together=True, schedule=replace(SHORT, steps=1))
    recipe.train(pairs_folder, tmp_path / "work", tmp_path / "model", larger, resume=False, start_from=finished[1])
    assert len(tokenizer.load(tmp_path / "model" / "tokenizer.json")["model"]["vocab"]) == size + 20
    with Reranker(str(tmp_path / "model")) as reranker:
        assert len(reranker.rank("Which thing is near 7?", ["The river sings.", "The cheese burns near 7."])) == 2


@pytest.mark.slow
def test_the_command_line_trains_and_its_options_stand_in_the_record(pairs_folder: Path, tmp_path: Path) -> None:
    folders = ["--data", str(pairs_folder), "--work-dir", str(tmp_path / "work"), "--output", str(tmp_path / "model")]
    recipe.main([*folders, "--tiny", "--steps", "1", "--leave-out", "short", "--int8"])
    record = json.loads((tmp_path / "model" / "recipe.json").read_text(encoding="utf-8"))["recipe"]
    assert (record["left_out"], record["storage"], record["schedule"]["steps"]) == (["short"], "int8", 1)


def test_of_a_source_or_language_that_is_left_out_nothing_is_read(pairs_folder: Path) -> None:
    assert {record.source for record in data.read(pairs_folder, ["short"])} == {"long"}
    assert list(data.read(pairs_folder, ["en"])) == []


def test_a_network_that_was_grown_gives_the_logits_of_the_smaller_one(finished: tuple[Path, Path]) -> None:
    run = _run(finished[0], finished[0] / "unused.pt")
    small, groups = run.network, run.groups
    large = NanoNetwork(replace(small.config, num_hidden_layers=4), small.yes_id, small.no_id)
    grow(large, small.state_dict(), 3)
    batch = tree(groups.chunk(1, 0.5)[:3], run.prefix, run.suffix)
    with torch.no_grad():
        assert torch.equal(small.logits(batch), large.logits(batch))
    with pytest.raises(InputError, match="other tensors"):
        grow(large, {**small.state_dict(), "score.weight": torch.zeros(1)}, 3)


def test_vectors_of_one_word_are_drawn_halfway_to_their_mean_and_others_stay(finished: tuple[Path, Path]) -> None:
    network = _run(finished[0], finished[0] / "unused.pt").network
    before_VC = network.model.embed_tokens.weight.detach().clone()
    word_V = np.full(len(before_VC), -1, np.int32)
    word_V[[3, 5, 8, 9]] = [0, 1, 0, 2]
    draw_together(network, word_V)
    after_VC = network.model.embed_tokens.weight.detach()
    assert torch.allclose(after_VC[3], 0.75 * before_VC[3] + 0.25 * before_VC[8])
    assert torch.allclose(after_VC[8], 0.75 * before_VC[8] + 0.25 * before_VC[3])
    kept = [index for index in range(len(before_VC)) if index not in (3, 8)]
    assert torch.equal(after_VC[kept], before_VC[kept])


def test_what_the_teacher_holds_as_near_as_the_positive_is_no_negative(finished: tuple[Path, Path]) -> None:
    drawn = _run(finished[0], finished[0] / "unused.pt").groups.chunk(1, 0.5)
    [group, *_] = [each for each in drawn if len(each.documents) > 2 and not each.unanswered]
    near_D = np.linspace(0.7, 0.5, len(group.documents), dtype=np.float32)
    near_D[2] = 0.9
    (target_D,), (weight_D,) = targets([replace(group, near_D=near_D, lexical_D=np.zeros_like(near_D))], SHORT)
    assert weight_D[2] == 0.0
    assert weight_D[0] == SHORT.positive_weight
    assert (weight_D[3:] == 1.0).all()
    assert target_D.sum().item() == pytest.approx(1.0)
    assert target_D[1:].argmax() == 1


def test_targets_are_labels_mixed_with_bm25_s_order(finished: tuple[Path, Path]) -> None:
    groups = _run(finished[0], finished[0] / "unused.pt").groups
    for group in groups.chunk(1, 0.5)[:40]:
        (target_D,), (weight_D,) = targets([group], SHORT)
        assert target_D.sum().item() == pytest.approx(1.0)
        if group.unanswered:
            assert not weight_D.any()
            assert (target_D.argsort(stable=True).numpy() == group.lexical_D.argsort(stable=True)).all()
            continue
        assert target_D[0] >= 1.0 - SHORT.lexical[group.synthetic]
        assert target_D[1:].argmax() == group.lexical_D[1:].argmax() or not group.lexical_D[1:].any()


def test_a_work_folder_of_other_settings_is_refused(finished: tuple[Path, Path], pairs_folder: Path) -> None:
    with pytest.raises(InputError, match="work-dir"):
        recipe.prepare(pairs_folder, finished[0], replace(SMALLEST, seed=3))


def _run(work: Path, checkpoint: Path) -> Run:
    fields, cache = tokenizer.load(work / "tokenizer.json"), Cache.load(work / "cache.npz")
    config = SMALLEST.config(len(fields["model"]["vocab"]) + 26)
    groups = Groups(cache, tokenizer.words(fields), tokenizer.label(fields), Mix(), 1)
    network = NanoNetwork(config, 1, 2)
    initialise(network, groups.rarity_V, meanings(cache, config.vocab_size, config.hidden_size, 1), marks(fields), 1)
    schedule = Schedule(minutes=None, steps=6, max_tokens=1500)
    return Run(network, groups, schedule, [3, 4], [5, 6], checkpoint, lambda line: None)


@pytest.mark.slow
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(finished: tuple[Path, Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = _run(finished[0], tmp_path / "whole.pt")
    whole.train()
    _run(finished[0], tmp_path / "parts.pt").train(stop_after=3)
    second = _run(finished[0], tmp_path / "parts.pt")
    second.resume()
    assert second.progress.step == 3
    second.train()
    assert second.progress.tokens == whole.progress.tokens
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name]), name
