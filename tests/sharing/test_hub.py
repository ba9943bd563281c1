"""Sources, maps and predictors go to the hub and come back as they were, through a stand-in that speaks its HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.builders import past
from tests.conftest import sentences, write_csv
from tests.sharing.hub import TOKEN, Hub
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.retrain import train_meta
from transfercast.sharing.hub import push
from transfercast.sources.encoders import model_fingerprint
from transfercast.sources.esm import MapCard, SpaceMap
from transfercast.sources.pool import SourcePool
from transfercast.tasks.task import Task

RECIPE = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)
RUN = """
import json, sys
from typer.testing import CliRunner
from transfercast.cli import app
for command in json.loads(sys.argv[1]):
    told = CliRunner().invoke(app, command)
    print(json.dumps({"code": told.exit_code, "said": told.output, "error": repr(told.exception)}))
"""


@pytest.fixture(scope="module")
def hub():
    with Hub() as serving:
        yield serving


def transfercast(hub, folder, *commands, token=TOKEN):
    """Commands of one process whose hub is the stand-in; XET, the hub's own protocol for large files, is off."""
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token,
                        "HF_HOME": str(folder / "hf"), "XDG_CACHE_HOME": str(folder / "cache")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([[*map(str, command)] for command in commands])],
        env=env, cwd=folder, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"code"')]


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_encoder):
    """A pool of one source, a map and a predictor."""
    folder = tmp_path_factory.mktemp("given")
    task = Task.from_csv(write_csv(folder / "help.csv", sentences(40, "help", seed=1)), text="text", label="label")
    SourcePool.fit(folder / "pool", [task], encoder=str(tiny_encoder), recipe=RECIPE)
    rng = np.random.default_rng(0)
    found = SpaceMap(rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32))
    found.save(folder / "maps" / "help", base_model="offline", task="help", pooling="mean")
    train_meta(past(5), folder / "meta", minutes=0, margin=100)
    return folder


def front_matter(card):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(card.decode().split("---")[1])


def test_each_goes_and_comes_back_as_it_was(hub, given, tmp_path):
    told = transfercast(
        hub, given,
        ["push", "pool/sources/help", "me/help-source", "--base-model", "someone/tiny"],
        ["push", "maps/help", "me/help-map"],
        ["push", "meta", "me/meta"],
    )  # fmt: skip
    assert [one["code"] for one in told] == [0, 0, 0], told
    assert f"Shared at {hub.url}/me/help-source" in told[0]["said"]
    assert any(path.startswith("/lfs/") for method, path in hub.calls if method == "PUT")
    for repo in ("me/help-source", "me/help-map", "me/meta"):
        assert {path.rpartition(".")[2] for path in hub.files[repo]} <= {"json", "safetensors", "md", "gitattributes"}
        assert str(given) not in "".join(c.decode(errors="replace") for p, c in hub.files[repo].items() if p.endswith(".json"))

    told = transfercast(
        hub, tmp_path,
        ["pull", "me/help-source"], ["pull", "me/help-source", "--name", "again"], ["pull", "me/help-map"], ["pull", "me/meta"],
        ["pull", "me/help-source"], ["pool", "show", "pool"],
    )  # fmt: skip
    assert [one["code"] for one in told] == [0] * 6, told
    before, after = SourcePool.load(given / "pool")["help"], SourcePool.load(tmp_path / "pool")
    assert sorted(after) == ["again", "help"]
    assert after["help"].encoder == "someone/tiny"
    assert after["help"].spec is None
    assert after["help"].scores == before.scores
    assert after["help"].recipe == before.recipe
    assert model_fingerprint(after["help"].checkpoint) == model_fingerprint(before.checkpoint)
    ours, theirs = SpaceMap.load(given / "maps" / "help"), SpaceMap.load(tmp_path / "maps" / "me--help-map")
    np.testing.assert_array_equal(ours.weight, theirs.weight)
    card = MapCard.read(tmp_path / "maps" / "me--help-map")
    assert (card.base_model, card.pooling) == ("sentence-transformers/all-MiniLM-L6-v2", "mean")
    assert Predictor.load(tmp_path / "meta").id == Predictor.load(given / "meta").id


def test_cards_say_what_it_is_and_carry_the_tags_by_which_it_is_found(hub, given):
    if "me/help-map" not in hub.files:
        pytest.skip("nothing was pushed")
    of_map = front_matter(hub.files["me/help-map"]["README.md"])
    assert of_map["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    # hf-dataset-selector's own tags; the hub adds base_model:NAME by itself
    assert {"embedding_space_map", "BaseLM:sentence-transformers/all-MiniLM-L6-v2"} <= set(of_map["tags"])
    card = hub.files["me/help-source"]["README.md"]
    assert front_matter(card)["base_model"] == "someone/tiny"
    assert front_matter(card)["pipeline_tag"] == "text-classification"
    source = SourcePool.load(given / "pool")["help"]
    for part in (f"positive_f1 {source.scores['test']:.3f} on test", f"`{RECIPE.key}`", "help: binary (negative, positive)",
                 f"{source.train_rows} training rows", "transfercast pull me/help-source --pool pool"):  # fmt: skip
        assert part in card.decode(), card.decode()
    assert "transfercast-predictor" in front_matter(hub.files["me/meta"]["README.md"])["tags"]


def test_what_others_wrote_leads_nowhere_and_replaces_nothing(hub, given, tmp_path):
    source = {path.name: path.read_bytes() for path in (given / "pool" / "sources" / "help").iterdir() if path.is_file()}
    about = json.loads(source["source.json"]) | {"encoder": "someone/tiny"}

    def repo(which, **changes):
        hub.files[f"bad/{which}"] = source | {"source.json": json.dumps(about | changes).encode()}
        return ["pull", f"bad/{which}"]

    hub.files["bad/pickled"] = {"config.json": b"{}", "pytorch_model.bin": b"x"}
    hub.files["bad/weightless"] = {"source.json": json.dumps(about).encode(), "config.json": b"{}"}
    commands = [
        repo("name", name="../../victim"), repo("encoder", encoder="/etc"), repo("score", scores={"test": 7}),
        ["pull", "bad/pickled"], ["pull", "bad/weightless"], ["pull", "bad/nowhere"],
        repo("path", checkpoint="/etc", spec={"train": "/etc/passwd"}),
    ]  # fmt: skip
    told = transfercast(hub, tmp_path, *commands)
    said = ["source name '../../victim'", "names no encoder of the hub", "score 7", "config of an embedding space map",
            "weights (*.safetensors) are gone", "the hub refuses (RepositoryNotFoundError", "In "]  # fmt: skip
    for one, part in zip(told, said, strict=True):
        assert part in one["error"] + one["said"], one
        assert "Traceback" not in one["said"]
    assert [one["code"] for one in told[:-1]].count(0) == 0
    pulled = SourcePool.load(tmp_path / "pool")["help"]  # what it says of files is left out
    assert pulled.checkpoint == tmp_path / "pool" / "sources" / "help"
    assert pulled.spec is None
    assert sorted(os.listdir(tmp_path)) == ["hf", "pool"]
    shutil.copytree(given / "pool" / "sources" / "help", tmp_path / "other" / "sources" / "help")
    weights = next((tmp_path / "other" / "sources" / "help").glob("*.safetensors"))
    (weights.parent / "more.safetensors").write_bytes(weights.read_bytes())
    (refused,) = transfercast(hub, tmp_path, ["pull", "bad/path", "--pool", "other"])
    assert "another source 'help' is there already. Name it otherwise by --name" in refused["error"] + refused["said"]


def test_what_cannot_be_shared_is_told(hub, given, tmp_path):
    with pytest.raises(InputError, match="name the repository as USER/NAME"):
        push(given / "maps" / "help", "help")
    with pytest.raises(InputError, match=r"no source .* map .* or predictor"):
        push(tmp_path, "me/x")
    with pytest.raises(InputError, match=r"its encoder is .*, which others do not have\. Say its name .* --base-model"):
        push(given / "pool" / "sources" / "help", "me/x")
    (refused,) = transfercast(hub, given, ["push", "maps/help", "me/x"], token="hf_wrong")
    assert refused["code"] == 2
    assert "Log in with: hf auth login" in refused["error"] + refused["said"]
