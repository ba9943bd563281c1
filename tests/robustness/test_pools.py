"""Pools, sources, encoders and maps whose files were cut, edited, exchanged, or made to lead elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.robustness.campaign import DAMAGED, REFUSED, Case, Prepare, check
from tests.robustness.damage import (
    Damage,
    damaged,
    edited,
    emptied,
    first,
    in_place_of_a_folder,
    linked,
    made_folder,
    nested,
    noise,
    not_utf8,
    nothing,
    put,
    random_bytes,
    removed,
    steps,
    without,
    wrote,
)

BROKEN = (REFUSED, DAMAGED)
ONE = "explain good:help --pool pool"
RECORD = "pool/sources/good/source.json"
WEIGHTS = "pool/sources/good/model.safetensors"
MAPS = "fit-maps pool --out maps2 --pooling cls"


def record(what: str, damage: Damage, code: int | tuple[int, ...] = BROKEN) -> Case:
    """A source's record, its bytes changed."""
    return Case(f"source.json {what}", damaged(RECORD, damage), ONE, code, r"good/source\.json")


def field(
    what: str, change: Callable[[Any], object], says: str = r"good/source\.json", code: Any = BROKEN, command: str = ONE
) -> Case:
    """A source's record, its content changed: the source is left out, and named where it was asked for."""
    return Case(f"source.json {what}", edited(RECORD, change), command, code, says, ("maps2",))


RECORDS = [
    Case("source.json as it should be", nothing, ONE, 0, "good and help"),
    record("of no bytes", emptied),
    record("cut in the middle", first(0.5)),
    record("that is not UTF-8", not_utf8),
    record("of lists in one another", nested),
    record("that is a list", lambda good: b"[]"),
    field("of a newer format", put("format", value=99), r"good/source\.json.*99.*upgrade"),
    field("without a format", without("format")),
    field("whose format is a word", put("format", value="1")),
    field("whose name leads upwards", put("name", value="../victim"), r"good/source\.json.*\.\./victim"),
    field("whose name is an absolute path", put("name", value="/tmp/victim"), r"good/source\.json.*/tmp/victim"),
    field("whose name is another's", put("name", value="help"), r"good/source\.json.*'?help'?"),
    field("whose name is a list", put("name", value=["good"]), r"good/source\.json.*name"),
    field("whose name is of control codes", put("name", value="\x1b[2Jgood"), r"good/source\.json"),
    field("without a kind", without("kind"), r"good/source\.json.*kind"),
    field("of an unknown kind", put("kind", value="poem"), r"good/source\.json.*poem"),
    field("whose label names are a number", put("label_names", value=2), r"good/source\.json.*label_names"),
    field("whose label names are numbers", put("label_names", value=[0, 1]), r"good/source\.json.*label_names"),
    field("whose scores are a word", put("scores", value="high"), r"good/source\.json.*scores"),
    field("whose score is a word", put("scores", "test", value="high"), r"good/source\.json.*score"),
    field("whose score is no number", put("scores", "test", value=float("nan")), r"good/source\.json.*score"),
    field("whose tokens are a word", put("max_tokens", value="many"), r"good/source\.json.*max_tokens"),
    field("whose tokens are negative", put("max_tokens", value=-5), r"good/source\.json.*max_tokens"),
    field("whose rows are a word", put("train_rows", value="many"), r"good/source\.json.*train_rows"),
    field("whose seconds are a word", put("seconds", value="long"), r"good/source\.json.*seconds"),
    field("whose recipe is none", put("recipe", value="zzz"), r"good/source\.json.*(recipe|zzz)"),
    field("whose metric is unknown", put("metric", value="rouge"), r"good/source\.json.*rouge"),
    field("with an unknown key", put("colour", value="red"), r"good/source\.json.*colour"),
    field("whose weights lie nowhere", put("checkpoint", value="/nowhere"), "/nowhere", BROKEN),
    field("whose weights are a number", put("checkpoint", value=7), r"good/source\.json.*checkpoint"),
    field("whose task is a word", put("spec", value="task"), r"good/source\.json.*spec", BROKEN),
    field("whose task cannot be read", put("spec", "kind", value="poem"), "kind.*poem", 0, MAPS),
    field("whose data are gone", put("spec", "train", value="/nowhere.csv"), r"/nowhere\.csv", 0, MAPS),
    field(
        "whose name leads upwards, to fit maps",
        put("name", value="../victim"),
        r"good/source\.json.*\.\./victim",
        code=0,
        command=MAPS,
    ),
    field("whose encoder is gone", put("encoder", value="nowhere"), "nowhere", 0, MAPS),
    Case("a folder in place of source.json", steps(removed(RECORD), made_folder(RECORD)), ONE, BROKEN, "source.json|'good'"),
]

VICTIM = made_folder("victim", "thesis.txt")

POOLS = [
    Case("no pool", removed("pool"), ONE, REFUSED, "pool.*no sources"),
    Case("a file in place of the pool", in_place_of_a_folder("pool"), ONE, REFUSED, "pool"),
    Case("a file in place of the pool, to fit", in_place_of_a_folder("pool"), "fit-sources family/tasks.toml --encoder encoder",
         REFUSED, "pool"),
    Case("a file in place of the sources", in_place_of_a_folder("pool/sources"), ONE, REFUSED, "pool"),
    Case("a file in place of the sources, to fit", in_place_of_a_folder("pool/sources"),
         "fit-sources family/tasks.toml --encoder encoder", REFUSED, "pool", needs=("pool",)),
    Case("a pool under /proc", nothing, "fit-sources family/tasks.toml --encoder encoder --pool /proc/nowhere", REFUSED,
        "/proc/nowhere"),
    Case("a pool below a file", wrote("f", "x"), "fit-sources family/tasks.toml --encoder encoder --pool f/pool", REFUSED,
        "f/pool"),
    Case("a foreign folder in place of a source", made_folder("pool/sources/good", "thesis.txt"),
         "fit-sources family/tasks.toml --encoder encoder", REFUSED, "pool/sources/good"),
    Case("a link in place of a source", steps(VICTIM, made_folder("pool/sources"), linked("pool/sources/good", "../../victim")),
         "fit-sources family/tasks.toml --encoder encoder", REFUSED, "pool/sources/good"),
    Case("maps into a file", wrote("maps2", "mine"), MAPS, REFUSED, "maps2"),
    Case("maps into a foreign folder", made_folder("maps2/good", "thesis.txt"), MAPS, REFUSED, "maps2/good"),
    Case("maps under /proc", nothing, "fit-maps pool --out /proc/nowhere --pooling cls", REFUSED, "/proc/nowhere"),
    Case("a table into a folder", made_folder("out"), "features pool family/tasks.toml --only single_task --out out", REFUSED,
        "out"),
    Case("a table under /proc", nothing, "features pool family/tasks.toml --only single_task --out /proc/x/t.parquet", REFUSED,
        "/proc/x"),
]  # fmt: skip


def source(what: str, prepare: Prepare, says: str = "good", code: int | tuple[int, ...] = BROKEN) -> Case:
    """A source whose model files are not what they were."""
    return Case(f"source {what}", prepare, ONE, code, says)


SOURCES = [
    source("with weights cut in the middle", damaged(WEIGHTS, first(0.5))),
    source("with weights of no bytes", damaged(WEIGHTS, emptied)),
    source("with weights of random bytes", damaged(WEIGHTS, lambda good: random_bytes(5, len(good)))),
    source("with a header of weights without end", damaged(WEIGHTS, lambda good: b"\xff" * 7 + b"\x7f" + good[8:])),
    source("without weights", removed(WEIGHTS)),
    source("without a config", removed("pool/sources/good/config.json")),
    source("with a config that is a list", wrote("pool/sources/good/config.json", "[]")),
    source("with a config of lists in one another", damaged("pool/sources/good/config.json", nested)),
    source("with a config that names code", edited("pool/sources/good/config.json", put("auto_map",
        value={"AutoModel": "x.Y"})),
           code=(0, *BROKEN)),
    source("without a tokenizer", removed("pool/sources/good/tokenizer.json")),
    source("with a tokenizer of random bytes", damaged("pool/sources/good/tokenizer.json", lambda good: random_bytes(6, 500))),
]  # fmt: skip


def encoder(what: str, prepare: Prepare, says: str = "encoder", code: int | tuple[int, ...] = BROKEN) -> Case:
    """An encoder whose files are not as they should be."""
    return Case(f"encoder {what}", prepare, "rank data.csv encoder", code, says)


def _weights(change: Callable[[dict[str, Any]], Any], file: str) -> Prepare:
    def prepare(folder: Path) -> None:
        tensors = load_file(folder / file)
        changed = change(tensors)
        save_file({name: np.ascontiguousarray(values) for name, values in (changed or tensors).items()}, folder / file)

    return prepare


def _no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / "encoder" / name).unlink()


def _larger_tokenizer(folder: Path) -> None:
    path = folder / "encoder" / "tokenizer.json"
    content = json.loads(path.read_bytes())
    vocabulary = content["model"]["vocab"]
    vocabulary["water"], vocabulary["unheard"] = len(vocabulary), vocabulary["water"]
    path.write_text(json.dumps(content), encoding="utf-8")


CONFIG = "encoder/config.json"
MODEL = "encoder/model.safetensors"

ENCODERS = [
    encoder("with weights cut in the middle", damaged(MODEL, first(0.5))),
    encoder("with weights of no bytes", damaged(MODEL, emptied)),
    encoder("with weights of random bytes", damaged(MODEL, lambda good: random_bytes(7, len(good)))),
    encoder("with weights that are no numbers", _weights(lambda all: {n: v * np.float32("nan") for n, v in all.items()},
        MODEL)),
    encoder("with weights of other names", _weights(lambda all: {f"x.{n}": v for n, v in all.items()}, MODEL)),
    encoder("without weights", removed(MODEL), "encoder.*safetensors"),
    encoder("with pickled weights alone", steps(removed(MODEL), wrote("encoder/pytorch_model.bin", b"\x80\x04.")),
        "encoder.*safetensors"),
    encoder("with a folder in place of weights", steps(removed(MODEL), made_folder(MODEL))),
    encoder("without a config", removed(CONFIG), r"encoder.*config\.json"),
    encoder("with a config that is no JSON", wrote(CONFIG, "{")),
    encoder("with a config that is not UTF-8", damaged(CONFIG, not_utf8)),
    encoder("with a config that is empty", wrote(CONFIG, "{}")),
    encoder("with a config of lists in one another", damaged(CONFIG, nested)),
    encoder("of an unknown type", edited(CONFIG, put("model_type", value="poet"))),
    encoder("whose config has another width", edited(CONFIG, put("hidden_size", value=32))),
    encoder("whose config has a negative width", edited(CONFIG, put("hidden_size", value=-16))),
    encoder("whose config has a word as width", edited(CONFIG, put("hidden_size", value="wide"))),
    encoder("whose config has a layer more", edited(CONFIG, put("num_hidden_layers", value=3))),
    encoder("without a tokenizer", _no_tokenizer),
    encoder("with a tokenizer of random bytes", damaged("encoder/tokenizer.json", lambda good: random_bytes(8, 500))),
    encoder("with a tokenizer that is cut", damaged("encoder/tokenizer.json", first(0.5))),
    encoder("with a tokenizer larger than its vocabulary", _larger_tokenizer),
    encoder("that is a file", in_place_of_a_folder("encoder")),
    encoder("that links to itself", linked("encoder", "encoder")),
    *(encoder(f"with 40 random bytes in its weights, {seed}", damaged(MODEL, noise(seed, 40)), "encoder", (0,
        *BROKEN)) for seed in range(2)),
]  # fmt: skip


def space_map(what: str, prepare: Prepare, says: str = "maps|good|neither", code: int | tuple[int, ...] = BROKEN) -> Case:
    """One map alone, and that one is wrong."""
    alone = steps(removed("maps/help"), removed("maps/storm"), prepare)
    return Case(f"map {what}", alone, "rank data.csv --maps maps --jobs 1", code, says)


def _shaped(shape: tuple[int, ...]) -> Prepare:
    return _weights(
        lambda all: {"model.weight": np.zeros(shape, np.float32), "model.bias": np.zeros(shape[:1], np.float32)}, MAP
    )


MAP, CARD = "maps/good/model.safetensors", "maps/good/config.json"

SPACE_MAPS = [
    space_map("as it should be", nothing, "good", 0),
    space_map("with weights cut in the middle", damaged(MAP, first(0.5))),
    space_map("without weights", removed(MAP)),
    *(space_map(f"of shape {shape}", _shaped(shape)) for shape in ((), (16,), (4, 4, 4), (0, 16), (16, 0), (3, 7))),
    space_map("of no numbers", _weights(lambda all: {n: v * np.float32("nan") for n, v in all.items()}, MAP)),
    space_map("of infinities", _weights(lambda all: {n: v * np.float32("inf") for n, v in all.items()}, MAP)),
    space_map("of integers", _weights(lambda all: {n: v.astype(np.int64) for n, v in all.items()}, MAP), "esm_logme|good", (0,
        *BROKEN)),
    space_map("of other names", _weights(lambda all: {f"x.{n}": v for n, v in all.items()}, MAP)),
    space_map("without a config", removed(CARD)),
    space_map("with a config that is a list", wrote(CARD, "[]")),
    space_map("with a config of lists in one another", damaged(CARD, nested)),
    space_map("that is not linear", edited(CARD, put("esm_architecture", value="deep"))),
    space_map("of an unknown pooling", edited(CARD, put("transfercast_pooling", value="max"))),
    *(space_map(f"whose base encoder is {value!r}", edited(CARD, put("base_model_name", value=value)))
      for value in (7, None, ["x"], {}, "", "nowhere", "\x1b[2J")),
    Case("no maps", made_folder("maps"), "rank data.csv --maps none", REFUSED, "none.*no maps"),
    Case("a file in place of maps", wrote("m", "x"), "rank data.csv --maps m", REFUSED, "m.*no maps|m: "),
    Case("a damaged map among good ones", damaged(MAP, first(0.5)), "rank data.csv --maps maps --jobs 1", 0, "good.*left out"),
]  # fmt: skip


def adopted(what: str, prepare: Prepare, says: str = "model", code: int | tuple[int, ...] = BROKEN, more: str = "") -> Case:
    """A model to adopt that is not as it should be."""

    def copied(folder: Path) -> None:
        (folder / "pool" / "sources" / "good").rename(folder / "model")
        removed("pool")(folder)
        (folder / "model" / "source.json").unlink()
        (folder / "model" / ".transfercast").unlink(missing_ok=True)

    command = f"fit-sources --adopt x=model{more} --pool new --encoder encoder"
    return Case(f"adopted model {what}", steps(copied, prepare), command, code, says, ("new",), needs=("pool", "encoder"))


ADOPTED = [
    adopted("as it should be", nothing, "x", 0),
    adopted("with weights cut in the middle", damaged("model/model.safetensors", first(0.5))),
    adopted("whose class numbers have holes", edited("model/config.json", put("id2label", value={"0": "a", "2": "b"}))),
    adopted("whose classes are no numbers", edited("model/config.json", put("id2label", value={"a": "a", "b": "b"}))),
    adopted("whose classes have control codes", edited("model/config.json", put("id2label", value={"0": "\x1b[2J", "1": "b"})),
            "x|model", (0, *BROKEN)),
    adopted("that names code", edited("model/config.json", put("auto_map",
        value={"AutoModelForSequenceClassification": "x--y.Z"})),
            code=(0, *BROKEN), says="x|model"),
    adopted("that is no classifier", edited("model/config.json", put("architectures", value=["BertModel"]))),
    adopted("without architectures", edited("model/config.json", put("architectures", value=None))),
    adopted("whose architectures are a number", edited("model/config.json", put("architectures", value=[7]))),
    adopted("without a head", _weights(lambda all: {n: v for n, v in all.items() if not n.startswith("classifier")},
            "model/model.safetensors")),
    adopted("whose score is a word", nothing, "high", REFUSED, "@high"),
]  # fmt: skip

EVERY = [*RECORDS, *POOLS, *SOURCES, *ENCODERS, *SPACE_MAPS, *ADOPTED]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_a_pool_or_a_model_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
