"""Wan weights on disk: what is found, what is refused, and the command that every refusal names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from motionbench.methods.backbones import wan_weights
from motionbench.methods.backbones.catalog import wan_1_3b, wan_14b
from motionbench.methods.backbones.tensor_cache import TensorCache
from motionbench.methods.backbones.wan_models import MODELS, WAN_1_3B, WAN_14B
from motionbench.methods.backbones.wan_weights import check_weights, expected_revision, find_weights, fingerprint
from small_wan import copied, posing_as, small_folder

from motionbench.errors import MissingWeightsError
from motionbench.method import Runtime

COMMAND = f"hf download {WAN_1_3B.repository} --revision {WAN_1_3B.revision}"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(wan_weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_transformers_of_the_pinned_shapes_have_the_published_number_of_parameters(model) -> None:
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        made = WanTransformer3DModel(**model.transformer_config())
    parameters = sum(p.numel() for p in made.parameters())
    assert parameters == {"wan2.1-1.3b": 1_418_996_800, "wan2.1-14b": 14_288_491_584}[model.name]


@pytest.mark.parametrize(("factory", "model"), [(wan_1_3b, WAN_1_3B), (wan_14b, WAN_14B)])
def test_without_weights_and_network_the_error_is_the_command(factory, model) -> None:
    for ask in (factory.check, factory.revision, factory.prefetch, lambda: factory.create(Runtime(model.name))):
        with pytest.raises(MissingWeightsError, match=f"hf download {model.repository} --revision {model.revision}"):
            ask()


def test_weights_that_the_hub_would_give_count_as_the_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert expected_revision(WAN_1_3B) == WAN_1_3B.revision


def test_a_run_asks_the_hub_for_the_pinned_revision_and_takes_what_it_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def snapshot(repository, *, revision, local_files_only, **_):
        asked.append((repository, revision, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        return posing_as(tmp_path / "snapshots" / revision)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    found = wan_weights.fetch_weights(WAN_1_3B)
    assert found.revision == WAN_1_3B.revision
    assert asked == [(WAN_1_3B.repository, WAN_1_3B.revision, offline) for offline in (True, False)]


def test_a_folder_of_the_users_own_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    posing_as(tmp_path / WAN_1_3B.name)
    monkeypatch.setenv(wan_weights.FOLDER_VARIABLE, str(tmp_path))
    found = find_weights(WAN_1_3B)
    assert found.folder == tmp_path / WAN_1_3B.name
    assert found.revision == f"local-{fingerprint(found.folder)}"
    assert found.spec == WAN_1_3B.spec
    assert wan_1_3b.prefetch() == str(found.folder), "what is here is not fetched"


def test_random_weights_say_so_in_their_revision_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = check_weights(small_folder(), WAN_1_3B)
    assert found.revision.startswith("random-0-small-")
    assert found.spec.frames == 17
    assert "noise" in caplog.text
    with pytest.raises(MissingWeightsError, match=r"random weights for wan2\.1-1\.3b"):
        check_weights(small_folder(), WAN_14B)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


FAULTS = {
    "no folder vae": lambda f: __import__("shutil").rmtree(f / "vae"),
    "transformer/config.json is missing": lambda f: (f / "transformer" / "config.json").unlink(),
    "transformer/diffusion_pytorch_model.safetensors has": lambda f: cut(
        f / "transformer" / "diffusion_pytorch_model.safetensors"
    ),
    r"text_encoder/\*.safetensors is missing": lambda f: (f / "text_encoder" / "model.safetensors").unlink(),
    "vae/diffusion_pytorch_model.safetensors is cut short": lambda f: (
        f / "vae" / "diffusion_pytorch_model.safetensors"
    ).write_bytes(b"version https://git-lfs.github.com/spec/v1"),
    "tokenizer/ has neither": lambda f: (f / "tokenizer" / "tokenizer.json").unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_partial_weights_are_refused_by_file_with_the_command(fault: str, tmp_path: Path) -> None:
    folder = copied(tmp_path / "w")
    FAULTS[fault](folder)
    with pytest.raises(MissingWeightsError, match=fault) as error:
        check_weights(folder, WAN_1_3B)
    assert f"{COMMAND} --local-dir {folder}" in str(error.value)


def test_a_missing_shard_of_an_index_is_named(tmp_path: Path) -> None:
    folder = copied(tmp_path / "w")
    index = {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "part-2.safetensors"}}
    (folder / "transformer" / "x.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingWeightsError, match=r"transformer/part-2\.safetensors is missing"):
        check_weights(folder, WAN_1_3B)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"num_layers": 40, "num_attention_heads": 40}, "num_attention_heads is 40, expected 12; num_layers is 40"),
        ({"image_dim": 1280}, "image_dim is 1280, expected None"),
    ],
)
def test_weights_of_another_model_are_refused(config: dict[str, int], fault: str, tmp_path: Path) -> None:
    folder = posing_as(tmp_path / "w", **config)
    with pytest.raises(MissingWeightsError, match=fault):
        check_weights(folder, WAN_1_3B)


def test_weights_of_another_revision_are_refused_and_noted_ones_believed(tmp_path: Path) -> None:
    folder = posing_as(tmp_path / "w")
    note = folder / ".cache" / "huggingface" / "download" / "vae" / "diffusion_pytorch_model.safetensors.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{'0' * 40}\netag\n1.0\n")
    with pytest.raises(MissingWeightsError, match=f"revision {'0' * 40}, expected {WAN_1_3B.revision}"):
        check_weights(folder, WAN_1_3B)
    note.write_text(f"{WAN_1_3B.revision}\netag\n1.0\n")
    assert check_weights(folder, WAN_1_3B).revision == WAN_1_3B.revision


def test_the_fingerprint_changes_with_a_weight_and_not_with_the_place(tmp_path: Path) -> None:
    one, two = copied(tmp_path / "a"), copied(tmp_path / "b")
    assert fingerprint(one) == fingerprint(two)
    file = two / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert fingerprint(one) != fingerprint(two)


def test_tensors_are_kept_under_what_they_were_computed_from(tmp_path: Path) -> None:
    held = TensorCache(tmp_path)
    tensors = [torch.full((10,), float(i)) for i in range(2)]
    for i in range(2):
        held.put(tensors[i], "k", str(i))
    assert all(torch.equal(TensorCache(tmp_path).get("k", str(i)), tensors[i]) for i in range(2))
    assert held.get("k0") is None
