"""Looking is not changing: a run with settings of its own leaves what is published and served as it is."""

from pathlib import Path

import dagster as dg
import pytest

from pipeline.cli import commands
from pipeline.definitions import defs
from storage.artifacts.data_root import DataRoot
from storage.artifacts.releases import find_pointer
from storage.artifacts.variants import figures, find_variants, forget, keep_last, variant_name
from storage.errors import InputError
from tests.pipeline.in_process import Pipeline, failures

TRIAL = {"gated_lightgcn": {"dim": 16}, "recommendations": {"top_k": 7}}


def run_failure(result: dg.ExecuteInProcessResult) -> str:
    """What a run says that failed before its first step."""
    found = []
    for event in result.all_events:
        error = getattr(event.event_specific_data, "error", None)
        while error is not None:
            found.append(error.message)
            error = error.cause
    return " ".join(found)


@pytest.fixture(scope="module")
def tried(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The sample with a variant beside it."""
    pipeline = sample.copy(tmp_path_factory.mktemp("tried"))
    made = ("gated_lightgcn", "leaderboard", "model_choice", "served_model", "current", "recommendations", "report")
    result = pipeline.run("sample", " or ".join(f"key:{asset}" for asset in made), TRIAL, promote=False)
    assert result.success, failures(result)
    return pipeline


def variant_of(pipeline: Pipeline) -> DataRoot:
    [variant] = find_variants(pipeline.root, "sample")
    return DataRoot(pipeline.root.root, variant=variant.name)


def test_nothing_that_is_published_or_served_changes(sample: Pipeline, tried: Pipeline) -> None:
    def of(pipeline: Pipeline) -> dict[str, bytes]:
        files = (path for path in pipeline.root.root.glob("[!.]*/**/*") if path.is_file())
        return {str(path.relative_to(pipeline.root.root)): path.read_bytes() for path in files}

    before, after = of(sample), of(tried)
    assert {name for name in before if after.get(name) != before[name]} == set()
    assert {name for name in after if name not in before and "sample@" not in name} == set()


def test_the_variant_has_what_its_settings_change_and_reads_the_rest(tried: Pipeline) -> None:
    own = variant_of(tried)
    assert own.variant == variant_name(TRIAL)
    for asset in ("gated_lightgcn", "leaderboard", "model_choice", "recommendations", "current", "report"):
        made = own.manifest(asset, "sample")
        assert made.variant == own.variant
        assert Path(made.path).parts[1].startswith(f"sample@{own.variant}")
    for asset in ("reviews", "splits", "lightgcn", "ease"):
        assert own.manifest(asset, "sample") == tried.root.manifest(asset, "sample")
    from storage.artifacts.tables import read_table

    lists = read_table(own.artefact(own.manifest("recommendations", "sample"))).to_pandas()
    assert lists.groupby("user_id").size().unique().tolist() == [7]


def test_the_ui_shows_it_and_automation_sees_no_change(tried: Pipeline) -> None:
    own = variant_of(tried)
    assert tried.metadata("gated_lightgcn", "sample")["variant"] == f"sample@{own.variant}"
    [record, *_] = tried.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("gated_lightgcn"), asset_partitions=["sample"]), limit=1
    ).records
    version = record.asset_materialization.tags["dagster/data_version"]  # type: ignore[union-attr, index]
    assert version == tried.root.manifest("gated_lightgcn", "sample").data_version
    [run] = [run for run in tried.instance.get_runs() if "rec/variant" in run.tags]
    assert run.tags["rec/variant"] == f"sample@{own.variant}"


def test_its_figures_stand_beside_those_of_what_is_published(tried: Pipeline) -> None:
    [variant] = find_variants(tried.root, "sample")
    assert variant.in_words() == "gated_lightgcn.dim 16, recommendations.top_k 7"
    published, own = figures(tried.root, None, "sample"), figures(tried.root, variant, "sample")
    board = tried.root.manifest("leaderboard", "sample").facts
    assert published["recall"] == board[f"recall@20/{published['served']}"]
    assert own["validation"] > 0
    assert "gated_lightgcn" in own["made"]
    assert "lightgcn" not in own["made"]


def test_the_same_settings_again_are_the_same_variant_and_make_nothing_anew(tried: Pipeline, tmp_path: Path) -> None:
    pipeline = tried.copy(tmp_path)
    before = pipeline.root.path("gated_lightgcn", "sample", f"@{variant_name(TRIAL)}.manifest.json").read_bytes()
    result = pipeline.run("sample", "key:gated_lightgcn or key:recommendations", TRIAL, promote=False)
    assert result.success, failures(result)
    after = pipeline.root.path("gated_lightgcn", "sample", f"@{variant_name(TRIAL)}.manifest.json").read_bytes()
    assert after == before
    assert pipeline.metadata("gated_lightgcn", "sample")["reused"] is True
    assert len(find_variants(pipeline.root, "sample")) == 1


def test_promote_takes_the_place_of_what_is_published(tried: Pipeline, tmp_path: Path) -> None:
    pipeline = tried.copy(tmp_path)
    before = find_pointer(pipeline.root, "sample")
    assert pipeline.run("sample", "key:recommendations", {"recommendations": {"top_k": 5}}, promote=True).success
    after = find_pointer(pipeline.root, "sample")
    assert before is not None
    assert after is not None
    assert after.recommendations != before.recommendations
    assert len(find_variants(pipeline.root, "sample")) == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gated_lightgcm": {"dim": 16}},
         "the run's config names 'gated_lightgcm', which is no asset; the closest to it: gated_lightgcn"),
        ({"lightgcn": {"dim": 0}},
         "Dataset sample: in the config of lightgcn, the setting 'dim' is 0: input should be greater than or equal"),
        ({"gated_lightgcn": {"dim": 16}},
         "the run's config names gated_lightgcn, which this run does not make; select it as well"),
    ],
)  # fmt: skip
def test_a_config_of_what_the_run_does_not_make_is_an_error(
    tried: Pipeline, tmp_path: Path, settings: dict[str, dict[str, int]], sentence: str
) -> None:
    result = tried.copy(tmp_path).run("sample", "key:lightgcn", settings, promote=False)
    assert not result.success
    assert sentence in run_failure(result)


def test_settings_that_change_nothing_of_what_is_made_make_no_variant(tried: Pipeline, tmp_path: Path) -> None:
    pipeline = tried.copy(tmp_path)
    assert pipeline.run("sample", "key:lightgcn", {"lightgcn": {"device": "cpu"}}, promote=False).success
    assert len(find_variants(pipeline.root, "sample")) == 1
    assert "variant" not in pipeline.metadata("lightgcn", "sample")


def test_a_variant_that_is_forgotten_leaves_nothing_and_takes_nothing_with_it(
    sample: Pipeline, tried: Pipeline, tmp_path: Path
) -> None:
    pipeline = tried.copy(tmp_path)
    [variant] = find_variants(pipeline.root, "sample")
    forget(pipeline.root, variant)
    assert not list(pipeline.root.root.glob("*/sample@*"))
    names = {str(Path(name).relative_to(sample.root.root)) for name in sample.files()}
    assert {str(Path(name).relative_to(pipeline.root.root)) for name in pipeline.files()} == names


def test_the_oldest_variants_go_when_there_are_too_many(tried: Pipeline, tmp_path: Path) -> None:
    pipeline = tried.copy(tmp_path)
    settings = {"recommendations": {"top_k": 3}}
    assert pipeline.run("sample", "key:recommendations", settings, promote=False).success
    assert [one.name for one in find_variants(pipeline.root, "sample")] == [variant_name(s) for s in (settings, TRIAL)]
    assert [one.name for one in keep_last(pipeline.root, "sample", 1)] == [variant_name(TRIAL)]
    assert [one.name for one in find_variants(pipeline.root, "sample")] == [variant_name(settings)]


def test_every_asset_can_be_told_to_promote() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        schema = defs.resolve_assets_def(key).op.config_schema.config_type
        assert {"force", "promote"} <= schema.fields.keys()  # type: ignore[union-attr]


def test_the_commands_list_variants_with_their_figures_and_forget_them(
    tried: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = tried.copy(tmp_path)
    monkeypatch.setenv("REC_DATA", str(pipeline.root.root))
    commands.variants("sample")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("published: ")
    assert second.startswith(f"sample@{variant_name(TRIAL)}: ")
    assert "NDCG@20 on validation 0." in second
    assert second.endswith("assets. gated_lightgcn.dim 16, recommendations.top_k 7")
    with pytest.raises(InputError) as error:
        commands.forget("sample@nothing")
    assert str(error.value) == (f"Dataset sample: there is no variant nothing of it; there are: {variant_name(TRIAL)}.")
    commands.forget(f"sample@{variant_name(TRIAL)}")
    assert capsys.readouterr().out == f"sample@{variant_name(TRIAL)} is deleted.\n"
    commands.variants("sample")
    assert "There is no variant of sample" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{", "The config is no JSON of the form"),
        ("[1]", "The config is no JSON of the form"),
        ('{"lightgcn": {"dim": 3}}', "The config is no JSON of the form"),
        ('{"ops": {"model_choice": {"config": {"serve": "eese"}}}}',
         "The run does not begin: in the config of model_choice, the setting 'serve' is 'eese': there is no such"),
        ('{"ops": {"lightgcm": {}}}', "The run does not begin: the run's config names 'lightgcm', which is no asset"),
        ('{"ops": {"lightgcn": {"config": {"dims": 3}}}}',
         "The run does not begin: the config of lightgcn has 'dims', which no asset has; the closest to it: dim"),
    ],
)  # fmt: skip
def test_a_config_is_looked_at_before_the_run(config: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        commands.check_config(config)
    assert str(error.value).startswith(sentence)


def test_a_config_without_a_mistake_is_none() -> None:
    commands.check_config('{"ops": {"lightgcn": {"config": {"dim": 3}}}}')
    commands.check_config("{}")
