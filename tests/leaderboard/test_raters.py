"""The human study: what the kit holds and hides, what is counted, and scores of raters whose skill is known."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.leaderboard.raters.agreement import (
    by_question,
    consistency,
    krippendorff_alpha,
    majority,
    metric_agreement,
    raters_agreement,
)
from motionbench.leaderboard.raters.answers import Vote, collect, read_key
from motionbench.leaderboard.raters.catches import difference, spoil
from motionbench.leaderboard.raters.kit import KitPlan, make_kit
from motionbench.leaderboard.raters.pairing import choose_pairs, read_systems
from motionbench.leaderboard.raters.raters_command import app
from motionbench.leaderboard.raters.strengths import bradley_terry
from results_factory import RunRecipe, write_run
from simulated_raters import draw_votes, write_answers
from typer.testing import CliRunner

from motionbench.clip import Clip
from motionbench.errors import ConfigError, StoreError
from motionbench.split import Split

KNOWN = {"smm": 0.0, "followyourmotion": 1.2, "twostagelora": 0.5, "vmc": -0.8}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, gallery: Path) -> Path:
    out = tmp_path_factory.mktemp("raters")
    made = make_kit([gallery], KitPlan(out, questions=48, per_rater=20, catches=5))
    assert (made.questions, made.catches) == (48, 5)
    return out


@pytest.fixture(scope="module")
def key(kit: Path) -> dict[str, Any]:
    return read_key(kit / "key.json")


def page_of(kit: Path) -> tuple[str, dict[str, Any]]:
    text = (kit / "page" / "index.html").read_text(encoding="utf-8")
    return text, json.loads(text.partition('id="study-data">')[2].partition("</script>")[0])


def test_systems_are_the_methods_and_controls_only_when_named(gallery: Path) -> None:
    assert sorted(read_systems([gallery]).entries) == sorted(KNOWN)
    assert sorted(read_systems([gallery], ["smm", "oracle"]).entries) == ["oracle", "smm"]
    with pytest.raises(ConfigError, match=r"two systems or more, got smm; there are .*vmc"):
        read_systems([gallery], ["smm"])


def test_results_that_no_table_ranks_together_are_refused(gallery: Path, split: Split, tmp_path: Path) -> None:
    write_run(tmp_path / "wan", split, RunRecipe("smm", backbone="wan2.1-1.3b", tracker="lk v1"))
    with pytest.raises(StoreError, match=r"wan2\.1-1\.3b"):
        read_systems([gallery, tmp_path / "wan"])


def test_questions_are_spread_over_pairs_categories_and_references(gallery: Path) -> None:
    systems = read_systems([gallery])
    pairs = choose_pairs(systems, 48, seed=3)
    counts = Counter(frozenset((pair.a, pair.b)) for pair in pairs)
    assert len(counts) == 6
    assert set(counts.values()) == {8}
    assert len({(p.case_id, frozenset((p.a, p.b))) for p in pairs}) == 48
    for names in combinations(["followyourmotion", "smm", "twostagelora"], 2):
        held = [pair.case_id for pair in pairs if {pair.a, pair.b} == set(names)]
        assert set(Counter(case.partition("/")[0] for case in held).values()) == {2}
        assert len({case.rpartition("/")[0] for case in held}) == 8
    sides = Counter(pair.a < pair.b for pair in pairs)
    assert min(sides.values()) > 12
    assert choose_pairs(systems, 48, seed=3) == pairs
    assert len(choose_pairs(systems, 10**6, seed=0)) > 48


def test_the_page_names_no_method_and_no_case(kit: Path, key: dict[str, Any]) -> None:
    text, data = page_of(kit)
    secret = [*KNOWN, "frozen", "reversed", "oracle", "camera/", "human/", "_object", key["split"], key["results"][0]]
    shown = re.sub(r'(?s)<script type="text/plain".*?</script>', "", text)  # videos in base64
    assert [word for word in secret if word in shown] == []
    assert data["linked"] == {}
    names = [path.name for path in (kit / "page").rglob("*")]
    assert names == ["index.html"]
    sides = [question[side] for question in data["questions"] for side in ("a", "b", "reference")]
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in sides)
    assert all(f'id="video-{name}"' in text for name in sides)
    assert [q["id"] for q in data["questions"]] == sorted(q["id"] for q in data["questions"])
    assert set(data["questions"][0]) == {"id", "block", "reference", "a", "b"}


def test_videos_over_the_limit_lie_beside_the_page_under_drawn_names(gallery: Path, tmp_path: Path) -> None:
    made = make_kit([gallery], KitPlan(tmp_path / "kit", questions=6, catches=2, embed_megabytes=0.01))
    _, data = page_of(tmp_path / "kit")
    files = sorted(path.name for path in (tmp_path / "kit/page/media").iterdir())
    assert len(files) == made.linked == len(data["linked"]) > 0
    assert made.embedded > 0
    assert all(re.fullmatch(r"[0-9a-f]{16}\.mp4", name) for name in files)


def test_a_title_is_text(gallery: Path, tmp_path: Path) -> None:
    title = "</title><script>alert(1)</script>"
    make_kit([gallery], KitPlan(tmp_path, title, questions=2, catches=0))
    text, data = page_of(tmp_path)
    assert "<script>alert" not in text
    assert data["title"] == title


def test_two_kits_of_one_seed_ask_the_same_under_other_names(gallery: Path, kit: Path, tmp_path: Path) -> None:
    make_kit([gallery], KitPlan(tmp_path, questions=48, per_rater=20, catches=5))
    one, other = read_key(kit / "key.json"), read_key(tmp_path / "key.json")
    assert one["study"] != other["study"]
    assert not one["questions"].keys() & other["questions"].keys()

    def asked(key: dict[str, Any]) -> list[str]:
        return sorted(str(sorted((k, v) for k, v in q.items() if k != "right")) for q in key["questions"].values())

    assert asked(one) == asked(other)


def test_a_key_is_never_overwritten(gallery: Path, kit: Path) -> None:
    before = (kit / "key.json").read_bytes()
    with pytest.raises(StoreError, match=r"key\.json is there"):
        make_kit([gallery], KitPlan(kit))
    assert (kit / "key.json").read_bytes() == before


def test_catch_trials_differ_clearly_and_both_ways_occur(key: dict[str, Any], gallery: Path, tmp_path: Path) -> None:
    held = [question for question in key["questions"].values() if "catch" in question]
    assert {question["catch"] for question in held} == {"frozen", "reversed"}
    still = Clip(np.full((5, 8, 8, 3), 7, np.uint8), 8.0)
    moving = Clip(np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((8, 8, 3), 30, np.uint8), 8.0)
    assert difference(still, spoil(still, "reversed")) == 0
    assert difference(moving, spoil(moving, "frozen")) > 4
    with pytest.raises(ConfigError, match="catch trials can be made"):
        make_kit([gallery], KitPlan(tmp_path, questions=2, catches=500))


def test_careless_raters_are_dropped_and_careful_ones_recover_the_order(
    key: dict[str, Any], kit: Path, tmp_path: Path
) -> None:
    sure = {name: 3 * value for name, value in KNOWN.items()}
    files = [write_answers(tmp_path, key, f"good{i}", sure) for i in range(6)]
    files += [write_answers(tmp_path, key, f"bad{i}", sure, attentive=False) for i in range(3)]
    found = collect(files, key)
    assert sorted(found.dropped) == ["bad0", "bad1", "bad2"]
    assert found.raters == tuple(f"good{i}" for i in range(6))
    assert len(found.votes) == 6 * 48
    ranking = bradley_terry(found.votes, resamples=500)
    assert [one.system for one in ranking] == ["followyourmotion", "twostagelora", "smm", "vmc"]
    assert [one.rank for one in ranking][::3] == [1, 4]


def test_files_that_are_none_are_named_and_the_rest_is_done(key: dict[str, Any], tmp_path: Path) -> None:
    good = write_answers(tmp_path, key, "good", KNOWN)
    value = json.loads(good.read_text())
    other = value["answers"]
    spoilt = {
        "text": b"no JSON",
        "list": b"[]",
        "study": json.dumps(value | {"study": "another"}).encode(),
        "question": json.dumps(value | {"answers": [other[0] | {"question": "x"}]}).encode(),
        "choice": json.dumps(value | {"answers": [other[0] | {"choice": "<b>"}]}).encode(),
        "side": json.dumps(value | {"answers": [other[0] | {"left": ["a"]}]}).encode(),
        "twice": json.dumps(value | {"answers": [other[0], other[0]]}).encode(),
        "rater": json.dumps(value | {"rater": 7}).encode(),
        "deep": b"[" * 100_000,
        "latin": '{"schema": "é"}'.encode("latin1"),
    }
    for name, data in spoilt.items():
        (tmp_path / f"{name}.json").write_bytes(data)
    files = [*(tmp_path / f"{name}.json" for name in spoilt), tmp_path / "absent.json", good]
    found = collect(files, key)
    assert {Path(name).stem for name in found.faults} == {*spoilt, "absent"}
    assert found.raters == ("good",)


def test_the_longer_of_two_files_of_one_rater_counts(key: dict[str, Any], tmp_path: Path) -> None:
    whole = write_answers(tmp_path, key, "one", KNOWN)
    value = json.loads(whole.read_text())
    (tmp_path / "part.json").write_text(json.dumps(value | {"answers": value["answers"][:9]}))
    for order in ([whole, tmp_path / "part.json"], [tmp_path / "part.json", whole]):
        found = collect(order, key)
        assert len(found.votes) == 48
        assert len(found.repeated) == 1


def test_a_rater_who_saw_no_catch_trial_is_dropped_unless_there_is_none(key: dict[str, Any], tmp_path: Path) -> None:
    file = write_answers(tmp_path, key, "early", KNOWN)
    value = json.loads(file.read_text())
    plain = [answer for answer in value["answers"] if "catch" not in key["questions"][answer["question"]]]
    file.write_text(json.dumps(value | {"answers": plain[:5]}))
    assert collect([file], key).dropped == {"early": (0, 0)}
    without = {name: question for name, question in key["questions"].items() if "catch" not in question}
    assert collect([file], key | {"questions": without}).raters == ("early",)


def plain_strengths(votes: Sequence[Vote]) -> dict[str, float]:
    """Maximum likelihood with the same half votes, by small steps uphill."""
    names = sorted({name for vote in votes for name in (vote.a, vote.b)})
    scores = dict.fromkeys(names, 0.0)
    for _ in range(4000):
        slope = {name: 0.5 - 1 / (1 + np.exp(-scores[name])) for name in names}
        for vote in votes:
            chance = 1 / (1 + np.exp(scores[vote.b] - scores[vote.a]))
            gain = {"a": 1.0, "b": 0.0, "same": 0.5}[vote.choice] - chance
            slope[vote.a] += gain
            slope[vote.b] -= gain
        for name in names:
            scores[name] += 4 * slope[name] / len(votes)
    mean = sum(scores.values()) / len(names)
    return {name: float(score - mean) for name, score in scores.items()}


def test_scores_are_those_of_a_plain_climb() -> None:
    votes = draw_votes({"x": 0.7, "y": 0.0, "z": -0.4}, seed=1, references=6, raters=3)
    votes = [Vote(*(v.rater, v.question, v.case_id, v.a, v.b), "same" if i % 9 == 0 else v.choice)
             for i, v in enumerate(votes)]  # fmt: skip
    expected = plain_strengths(votes)
    for one in bradley_terry(votes, resamples=10):
        assert one.score == pytest.approx(expected[one.system], abs=1e-6)


def test_order_of_votes_moves_no_digit_and_a_winner_of_all_stays_finite() -> None:
    votes = draw_votes(KNOWN, seed=2, references=6)
    shuffled = [votes[int(i)] for i in np.random.default_rng(0).permutation(len(votes))]
    assert bradley_terry(votes, resamples=50) == bradley_terry(shuffled, resamples=50)
    always = [Vote(f"r{i % 3}", f"q{i}", f"camera/{i:04d}/0", "x", "y", "a") for i in range(30)]
    best, worst = bradley_terry(always, resamples=200)
    assert (best.system, best.preferred) == ("x", 1.0)
    assert 1 < best.score < 6
    assert best.rank == 1
    assert worst.rank == 2


def test_no_votes_no_scores_and_one_reference_no_interval() -> None:
    assert bradley_terry([]) == []
    (first, _) = bradley_terry([Vote("r", "q", "camera/0001/0", "x", "y", "a")])
    assert (first.low, first.high, first.votes) == (None, None, 1)


def test_intervals_cover_the_true_strengths_and_are_not_idle() -> None:
    mean = sum(KNOWN.values()) / 4
    covered, widths, scores = [], [], []
    for seed in range(40):
        found = {one.system: one for one in bradley_terry(draw_votes(KNOWN, seed=seed), resamples=300)}
        for name, value in KNOWN.items():
            one = found[name]
            assert one.low is not None
            assert one.high is not None
            covered.append(one.low <= value - mean <= one.high)
            widths.append(one.high - one.low)
        scores.append([found[name].score for name in sorted(KNOWN)])
    spread = 2 * 1.96 * float(np.std(scores, axis=0).mean())
    assert np.mean(covered) >= 0.93
    assert spread < np.mean(widths) < 2.2 * spread  # twice as wide as needed at most: raters and references both count


def test_alpha_is_that_of_the_published_example() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), part C: four observers, 12 units, nominal."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[str(o[u]) for o in observers if o[u] is not None] for u in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
    assert krippendorff_alpha([["a", "b"]] * 500) == pytest.approx(-1, abs=3e-3)  # always against each other
    assert krippendorff_alpha([["a", "a"], ["a"]]) is None


def test_raters_who_guess_agree_by_chance_and_sure_ones_almost_wholly() -> None:
    guessing = consistency(draw_votes(dict.fromkeys(KNOWN, 0.0), seed=5, share=1))
    sure = consistency(draw_votes({name: 12 * value for name, value in KNOWN.items()}, seed=5, share=1))
    assert guessing.alpha is not None
    assert sure.alpha is not None
    assert abs(guessing.alpha) < 0.08
    assert sure.alpha > 0.9
    assert (sure.questions, sure.answers) == (16 * 6, 16 * 6 * 8)


def test_another_rater_decides_as_the_majority_as_often_as_by_hand() -> None:
    def vote(rater: str, choice: str, question: str = "q", case: str = "camera/0001/0") -> Vote:
        return Vote(rater, question, case, "x", "y", choice)

    votes = [vote("r1", "a"), vote("r2", "a"), vote("r3", "b")]
    assert majority(votes) == "a"
    (one, over_all) = raters_agreement(votes)
    assert (one.category, over_all.category) == ("camera", "all")
    assert one.share == 0.0  # r1 and r2 see one a and one b: split; r3 stands against two
    votes = [*votes, vote("r4", "a"), vote("r5", "same")]
    assert raters_agreement(votes)[0].share == pytest.approx((1 + 1 + 0 + 1 + 0.5) / 5)
    alone = raters_agreement([vote("r1", "a")])
    assert [(x.category, x.share) for x in alone] == [("all", None)]


def test_a_metric_that_decides_as_raters_do_agrees_wholly_and_its_opposite_never(
    key: dict[str, Any], gallery: Path, tmp_path: Path
) -> None:
    from motionbench.leaderboard.boards import make_boards
    from motionbench.leaderboard.merging import merge
    from motionbench.leaderboard.reading import read_runs

    (board,) = make_boards(merge(read_runs([gallery])))
    values = {(s.record_key, s.metric): s.value for entry in board.entries for s in entry.scores if s.value is not None}
    records = {name: q["records"] for name, q in key["questions"].items() if "records" in q}

    def raters(metric: str, sign: int) -> list[Vote]:
        """Two raters who look at nothing but a metric."""
        votes = []
        for name, sides in records.items():
            goods = [values.get((sides[side], metric)) for side in "ab"]
            if None in goods:
                continue
            a, b = (sign * good for good in goods if good is not None)
            question = key["questions"][name]
            for rater in ("r1", "r2"):
                who = (rater, name, question["case_id"], question["a"], question["b"])
                votes.append(Vote(*who, "a" if a > b else "b"))
        return votes

    def share(votes: list[Vote], metric: str) -> float | None:
        decided, notes = metric_agreement(votes, records, board)
        assert notes == []
        (one,) = [one for one in decided if one.judge.startswith(f"{metric} v") and one.category == "all"]
        assert one.n_missing == one.n_split == 0
        return one.share

    assert share(raters("motion_fidelity", 1), "motion_fidelity") == 1
    assert share(raters("motion_fidelity", -1), "motion_fidelity") == 0
    assert share(raters("appearance_leak", -1), "appearance_leak") == 1  # lower is better
    decided, _ = metric_agreement(raters("motion_fidelity", 1), records, board)
    assert {one.category for one in decided} == {"all", "camera", "human", "multi_object", "single_object"}
    assert any(one.judge == "motion_fidelity v1 (lk v1)" for one in decided)
    other = next(one for one in decided if one.judge.startswith("text_alignment") and one.category == "all")
    assert other.low is not None
    assert other.high is not None
    assert other.low < other.high
    assert len(by_question(raters("motion_fidelity", 1))) == other.n_questions


def test_missing_values_are_counted_and_not_guessed(gallery: Path, key: dict[str, Any]) -> None:
    from dataclasses import replace

    from motionbench.leaderboard.boards import make_boards
    from motionbench.leaderboard.merging import merge
    from motionbench.leaderboard.reading import read_runs

    (board,) = make_boards(merge(read_runs([gallery])))
    records = {name: q["records"] for name, q in key["questions"].items() if "records" in q}
    name = next(name for name in records if key["questions"][name]["case_id"].startswith("camera/"))
    gone = records[name]["a"]
    thinner = replace(
        board,
        entries=tuple(
            replace(e, scores=tuple(s for s in e.scores if (s.record_key, s.metric) != (gone, "temporal_gap")))
            for e in board.entries
        ),
    )
    question = key["questions"][name]
    votes = [Vote("r", name, question["case_id"], question["a"], question["b"], "a")]
    decided, _ = metric_agreement(votes, records, thinner)
    (one,) = [one for one in decided if one.judge.startswith("temporal_gap") and one.category == "all"]
    assert (one.share, one.n_questions, one.n_missing) == (None, 0, 1)


def test_the_commands_from_results_to_agreement(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    made = run(app, ["make", str(gallery), "--questions", "24", "--per-rater", "12"])
    assert made.exit_code == 0, made.output
    assert "24 questions and 6 catch trials" in made.output
    key = read_key(Path("raters/key.json"))
    files = [str(write_answers(tmp_path, key, f"r{i}", {n: 4 * v for n, v in KNOWN.items()})) for i in range(4)]
    (tmp_path / "broken.json").write_text("{")
    found = run(app, ["collect", *files, "broken.json"])
    assert found.exit_code == 1
    assert "not counted: broken.json" in found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == "96 votes of 4 raters, 0 raters dropped"
    assert lines[2].startswith("followyourmotion")
    agreed = run(app, ["agree", "raters/votes.json", str(gallery)])
    assert agreed.exit_code == 0, agreed.output
    assert "another rater" in agreed.stdout
    assert "motion_fidelity v1 (lk v1)" in agreed.stdout
    assert max(map(len, [*lines, *agreed.stdout.splitlines()])) <= 80
    assert str(tmp_path) not in Path("raters/votes.json").read_text()
    as_json = json.loads(run(app, ["agree", "raters/votes.json", str(gallery), "--json"]).stdout)
    assert {one["judge"] for one in as_json} >= {"another rater", "motion_fidelity v1 (lk v1)"}
    alone = run(app, ["agree", "raters/votes.json"])  # the kit was made of an absolute path, which is not kept
    assert isinstance(alone.exception, ConfigError)
    other = run(app, ["agree", "raters/votes.json", str(gallery / "smm")])
    assert isinstance(other.exception, StoreError)
