"""Options out of range, of the wrong type, or that name what is not there."""

from __future__ import annotations

import pytest

from tests.robustness.campaign import REFUSED, Case, check
from tests.robustness.damage import DIGITS, linked, nothing

EITHER = (0, REFUSED)
NAMED = r"\\x1b"


def of(command: str, options: str, says: str, code: int | tuple[int, ...] = REFUSED, makes: tuple[str, ...] = ()) -> Case:
    """A command that is right but for the options behind it."""
    return Case(f"{command.split()[0]} {options[:60]}".strip(), nothing, f"{command} {options}", code, says, makes)


RANK = "rank data.csv encoder"
PLAN = "plan features.parquet"
LEARN = "train-meta --out new --history history.db"
FIT = "fit-sources family/tasks.toml --encoder encoder"
EXPLAIN = "explain pool/sources/good 'we need good water'"

RANKING = [
    of(RANK, "--rows 1", "--rows"),
    of(RANK, "--rows many", "--rows"),
    of(RANK, f"--rows {DIGITS}", "rows|7777"),
    of(RANK, "--tokens 2", "--tokens"),
    of(RANK, "--tokens 100000", "logme on|tokens", EITHER),
    of(RANK, "--device toaster", "device.*toaster"),
    of(RANK, "--device cuda:7", "device.*cuda:7"),
    of(RANK, "--measure magic", "magic.*logme"),
    of(RANK, "--measure ansat", "ansat"),
    of(RANK, "--layers all", "layers.*all"),
    of(RANK, "--pooling max", "pooling.*max"),
    of(RANK, "--jobs 0", "jobs"),
    of(RANK, "--text words", r"data\.csv.*'words'"),
    of(RANK, "--label gold", r"data\.csv.*'gold'"),
    of(RANK, "--text ''", r"data\.csv.*''"),
    of(RANK, "--target good", "target|logme", EITHER),
    of(RANK, "--maps maps", "maps.*encoders?|encoders?.*maps"),
    of(RANK, "--surprise 3", "surprise"),
    of("rank data.csv", "", "encoders.*--maps"),
    of(RANK, "--labels label", "--labels.*two 0/1 columns.*--label"),
    of(RANK, "--labels label,lable", "no column 'lable'; did you mean 'label'"),
    of(RANK, "--metric rouge", "metric.*unknown"),
    of(RANK, "--metric span_f1", "'span_f1' does not judge binary tasks.*positive_f1"),
    of("rank data.csv", "nowhere", "nowhere"),
    of("rank data.csv", "../../..", r"\.\./"),
    of("rank data.csv", "''", "''|empty"),
    of("rank data.csv", r"'\x1b[2Jencoder'".replace(r"\x1b", "\x1b"), NAMED),
    of("rank data.csv", "encoder nowhere", "nowhere.*left out", 0),
    of("rank family/tasks.toml encoder", "", "target.*good"),
    of("rank family/tasks.toml encoder", "--target x", "target.*good"),
]

RECIPES = [
    of(FIT, "--recipe full/epochs=0", "recipe.*epochs.*0"),
    of(FIT, "--recipe full/epochs=1001", "recipe.*epochs.*1001"),
    of(FIT, f"--recipe full/epochs={DIGITS}", "recipe.*epochs"),
    of(FIT, "--recipe full/epochs=", "recipe.*epochs"),
    of(FIT, "--recipe full/lr=nan", "recipe.*(lr|learning_rate).*nan"),
    of(FIT, "--recipe full/lr=1e400", "recipe.*(lr|learning_rate)"),
    of(FIT, "--recipe full/lr=0", "recipe.*(lr|learning_rate).*0"),
    of(FIT, "--recipe full/lr=0,001", "recipe.*(lr|learning_rate).*0,001"),
    of(FIT, "--recipe full/batch=-1", "recipe.*batch.*-1"),
    of(FIT, "--recipe full/tokens=9e9", "recipe.*tokens"),
    of(FIT, "--recipe full/layers=3", "recipe.*layers=3"),
    of(FIT, "--recipe full/epochs=1/epochs=2", "recipe.*epochs.*twice"),
    of(FIT, "--recipe prefix", "recipe.*prefix.*full"),
    of(FIT, "--recipe ''", "recipe"),
    of(FIT, "--recipe full//", "recipe.*full//"),
    of(FIT, "--recipe '\x1b]0;x\x07'", NAMED),
    of(FIT, "--seed -1", "seed.*-1"),
    of(FIT, f"--seed {2**70}", "seed"),
    of(FIT, "--device toaster", "device.*toaster"),
    of("fit-sources family/tasks.toml", "--encoder nowhere", "nowhere"),
    of("fit-sources", "", "nothing to do.*tasks.toml"),
    of("fit-sources family/tasks.toml", "--jobs 0", "jobs"),
    of("fit-sources", "--adopt x", "--adopt x.*NAME=FOLDER"),
    of("fit-sources", "--adopt =encoder", "--adopt =encoder.*NAME=FOLDER"),
    of("fit-sources", "--adopt x=", "--adopt x=.*NAME=FOLDER"),
    of("fit-sources", "--adopt x=nowhere", "nowhere"),
    of("fit-sources", "--adopt ../x=pool/sources/good", r"name '\.\./x'"),
    of("fit-sources", "--adopt x=pool/sources/good@7", "(score|--adopt).*7"),
    of("fit-sources", "--adopt x=pool/sources/good@nan", "(score|--adopt).*nan"),
    of("fit-sources", "--adopt x=pool/sources/good@inf", "(score|--adopt).*inf"),
    of("fit-sources", "--adopt x=pool/sources/good@high", "(score|--adopt).*high"),
    of("fit-sources", "--adopt good=pool/sources/good --pool pool", "'?good'?.*(there already|taken)"),
    of("fit-sources", "--adopt x=encoder", "encoder.*(classifier|head)"),
]

PLANNING = [
    of(PLAN, "", "--trials.*--hours"),
    of(PLAN, "--trials 2 --hours 1", "--trials.*--hours"),
    of(PLAN, "--trials 0", "--trials"),
    of(PLAN, "--trials -3", "--trials"),
    of(PLAN, "--trials two", "--trials"),
    of(PLAN, f"--trials {10**18}", "of [0-9]+ candidates|trials", EITHER, ("plan.json",)),
    of(PLAN, "--hours 0", "hours.*0"),
    of(PLAN, "--hours nan", "hours.*nan"),
    of(PLAN, "--hours inf", "hours.*inf"),
    of(PLAN, "--hours -1", "hours.*-1"),
    of(PLAN, "--trials 2 --coverage 0", "coverage.*0"),
    of(PLAN, "--trials 2 --coverage 1", "coverage.*1"),
    of(PLAN, "--trials 2 --coverage 90", "coverage.*90"),
    of(PLAN, "--trials 2 --coverage nan", "coverage.*nan"),
    of(PLAN, "--trials 2 --lr 0", "(lr|learning_rate|recipe).*0"),
    of(PLAN, "--trials 2 --lr nan", "(lr|learning_rate|recipe).*nan"),
    of(PLAN, "--trials 2 --epochs 0", "epochs.*0"),
    of(PLAN, "--trials 2 --batch 0", "batch.*0"),
    of(PLAN, "--trials 2 --adaptation prefix", "adaptation.*prefix"),
    of(PLAN, "--trials 2 --adaptation full/epochs=9", "adaptation.*full/epochs=9"),
    of(PLAN, "--trials 2 --per week", "per.*week"),
    of(PLAN, "--trials 2 --bounds tight", "bounds.*tight"),
    of(PLAN, "--trials 2 --predictor none", "none.*(no predictor|no such)"),
    of(PLAN, "--trials 2 --predictor data.csv", r"data\.csv"),
    of(PLAN, "--trials 2 --plot why.bmp", r"why\.bmp.*\.svg"),
    of("plan none.parquet --trials 2", "", r"none\.parquet: no such file"),
    of("plan", "", "argument"),
]

LEARNING = [
    of(LEARN, "--minutes -1", "--minutes"),
    of(LEARN, "--minutes nan", "--minutes"),
    of(LEARN, "--minutes inf", "minutes.*inf"),
    of(LEARN, "--minutes 0 --margin nan", "margin.*nan"),
    of(LEARN, "--minutes 0 --margin -1", "margin.*-1"),
    of(LEARN, "--minutes 0 --keep 0", "--keep"),
    of(LEARN, "--minutes 0 --jobs 0", "jobs"),
    of(LEARN, "--minutes 0 --features magic", "magic"),
    of(LEARN, "--minutes 0 --features ''", "features"),
    of(LEARN, "--minutes 0 --table none.parquet", r"none\.parquet: no such file"),
    of("train-meta --out new", "--history none.db", r"none\.db: no such history"),
    of("train-meta --out new", "--history nonsense://x", "nonsense"),
    of("train-meta --out new", "--history ''", "history"),
    of("train-meta --out new", "--history mysql://me:s3cret@localhost/x", "mysql"),
    of("train-meta --out new", "--history postgresql://me:s3cret@127.0.0.1:1/x", r"postgresql.*me:\*\*\*@"),
    of("train-meta", "--history history.db", "--out"),
    of("train-meta --history history.db", "--out none --roll-back", "none.*(no|earlier|predictor)"),
    of("train-meta --history history.db", "--out meta --roll-back", "meta.*no earlier"),
    of("evaluate history.db", "--jobs 0", "jobs"),
    of("evaluate history.db", "--features magic", "magic"),
    of("evaluate none.db", "", r"none\.db: no such history"),
    of("evaluate data.csv", "", r"data\.csv.*'source'"),
    of("history show", "--history none.db", r"none\.db: no such history"),
    of("history show", "--history transfers.csv", "t0", 0),
    Case(
        "history show of a CSV in capitals", linked("T.CSV", "transfers.csv"), "history show --history T.CSV", 0, "t0",
        needs=("transfers.csv",),
    ),
]  # fmt: skip

EXPLAINING = [
    of(EXPLAIN, "--tolerance 0", "tolerance.*0"),
    of(EXPLAIN, "--tolerance nan", "tolerance.*nan"),
    of(EXPLAIN, "--tokens 2", "--tokens"),
    of(EXPLAIN, "--tokens 1000", "tokens|probability", EITHER),
    of(EXPLAIN, "--label ²", "label.*²"),
    of(EXPLAIN, "--label 7", "label.*7"),
    of(EXPLAIN, "--label ''", "label"),
    of(EXPLAIN, "--device toaster", "device.*toaster"),
    of("explain pool/sources/good", "''", "empty"),
    of("explain pool/sources/good", "'\x1b[2J good'", "probability", 0),
    of("explain pool/sources/good", f"'{'good ' * 100}'", "cut|tokens", EITHER),
    of("explain encoder 'we need'", "", "encoder.*classifier"),
    of("explain nowhere 'we need'", "", "nowhere"),
    of("explain pool", "", "FIRST:SECOND"),
    of("explain good:gone --pool pool", "", "'gone'.*(help|storm)"),
    of("explain : --pool pool", "", "(''|FIRST:SECOND)"),
    of("explain good:help --pool pool", "--documents 0", "--documents"),
    of("explain good:help --pool pool", "--threshold nan", "threshold.*nan"),
    of("explain good:help --pool none", "", "none.*no (sources|pool)"),
]

MEASURING = [
    of("features pool family/tasks.toml", "--only magic", "magic"),
    of("features pool family/tasks.toml", "--recipe full/epochs=0", "recipe.*epochs.*0"),
    of("features pool family/tasks.toml", "--seed -1", "seed.*-1"),
    of("features pool family/tasks.toml", "--documents 0", "--documents"),
    of("features pool family/tasks.toml", "--jobs 0", "jobs"),
    of("features pool family/tasks.toml", "--device toaster", "device.*toaster"),
    of("features none family/tasks.toml", "", "none.*no (sources|pool)"),
    of("features pool none.toml", "", r"none\.toml: no such file"),
    of("fit-maps none", "", "none.*no (sources|pool)"),
    of("fit-maps pool", "--rows 1", "--rows"),
    of("fit-maps pool", "--pooling max", "pooling.*max"),
    of("measures", "--kind poem", "kind.*poem"),
    of("fetch-maps nobody/nothing", "", "nobody/nothing", (1, REFUSED)),
    of("demo", "--trials 0", "--trials"),
    of("demo", "--trials 1 --out data.csv", r"data\.csv"),
    of("sing", "", "sing"),
]

SEARCHING = [
    of("search none.json", "", r"none\.json: no such file"),
    of("search plan.json", "--storage /proc/nowhere/h.db", "/proc/nowhere"),
    of("search plan.json", "--storage nonsense://x", "nonsense"),
    of("search plan.json", "--storage sqlite:////proc/nowhere/h.db", "/proc/nowhere"),
    of("search plan.json", "--storage postgresql://me:s3cret@127.0.0.1:1/x", r"me:\*\*\*@"),
    of("search plan.json", "--device toaster", "device.*toaster"),
    of("search plan.json", "--jobs 0", "jobs"),
    of("serve", "--host 0.0.0.0", "TRANSFERCAST_API_KEY"),
    of("serve", "--port 70000", "--port"),
    of("serve", "--workers 0", "--workers"),
    of("serve", "--predictor none", "none.*(no predictor|no such)"),
    of("serve", "--predictor data.csv", r"data\.csv"),
    of("serve", "--history data.csv", r"data\.csv"),
    of("serve", "--history nonsense://x", "nonsense"),
    of("serve", "--predictor meta", "served", 0),
]

EVERY = [*RANKING, *RECIPES, *PLANNING, *LEARNING, *EXPLAINING, *MEASURING, *SEARCHING]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_an_option_is_refused_in_one_line_before_work_begins(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
