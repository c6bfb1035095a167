"""The catalogue: what it lists, and how each mistake in it is told."""

from collections import Counter
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import pytest

from storage import catalogue as module
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Catalogue, load_catalogue
from storage.environment import PROJECT_ROOT, path_named
from storage.errors import InputError

LAB = "https://mcauleylab.ucsd.edu/public_datasets/data"
SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


@pytest.fixture(autouse=True)
def no_catalogue_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REC_DATASETS", raising=False)


@pytest.fixture(scope="module")
def official() -> Catalogue:
    return load_catalogue(PROJECT_ROOT / "datasets.yaml")


def catalogue_of(tmp_path: Path, text: str, name: str = "datasets.yaml") -> Catalogue:
    file = tmp_path / name
    file.write_text(dedent(text), encoding="utf-8")
    return load_catalogue(file)


def one_dataset(tmp_path: Path, entry: str) -> Catalogue:
    return catalogue_of(tmp_path, "datasets:\n  mine: " + entry)


class TestOfficialReleases:
    def test_every_category_of_each_release_is_listed(self, official: Catalogue) -> None:
        releases = Counter(name.split("-")[0] for name in official.names)
        assert releases == {"sample": 1, "2014": 24, "2018": 29, "2023": 34}

    def test_only_the_sample_is_enabled(self, official: Catalogue) -> None:
        assert official.enabled == ["sample"]
        assert [name for name in official.names if official.dataset(name).enabled] == ["sample"]

    @pytest.mark.parametrize(
        ("name", "release", "reviews", "metadata"),
        [
            ("2014-Baby", "amazon2014", f"{SNAP}/reviews_Baby.json.gz", f"{SNAP}/meta_Baby.json.gz"),
            (
                "2018-Gift_Cards",
                "amazon2018",
                f"{LAB}/amazon_v2/categoryFiles/Gift_Cards.json.gz",
                f"{LAB}/amazon_v2/metaFiles2/meta_Gift_Cards.json.gz",
            ),
            (
                "2018-AMAZON_FASHION",
                "amazon2018",
                f"{LAB}/amazon_v2/categoryFiles/AMAZON_FASHION.json.gz",
                f"{LAB}/amazon_v2/metaFiles2/meta_AMAZON_FASHION.json.gz",
            ),
            (
                "2023-All_Beauty",
                "amazon2023",
                f"{LAB}/amazon_2023/raw/review_categories/All_Beauty.jsonl.gz",
                f"{LAB}/amazon_2023/raw/meta_categories/meta_All_Beauty.jsonl.gz",
            ),
            (
                "2023-Unknown",
                "amazon2023",
                f"{LAB}/amazon_2023/raw/review_categories/Unknown.jsonl.gz",
                f"{LAB}/amazon_2023/raw/meta_categories/meta_Unknown.jsonl.gz",
            ),
        ],
    )
    def test_urls_are_the_official_ones(
        self, official: Catalogue, name: str, release: str, reviews: str, metadata: str
    ) -> None:
        dataset = official.dataset(name)
        assert (dataset.format, dataset.reviews, dataset.metadata) == (release, reviews, metadata)

    def test_every_url_is_whole_and_named_once(self, official: Catalogue) -> None:
        datasets = [official.dataset(name) for name in official.names if name != "sample"]
        urls = [url for dataset in datasets for url in (dataset.reviews, dataset.metadata)]
        assert len(set(urls)) == len(urls) == 2 * 87
        for url in urls:
            parts = urlsplit(url)
            assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")
            assert parts.path.endswith(".gz")
            assert not set(url) & set("{} ")

    def test_the_format_and_the_settings_are_those_of_the_release(self, official: Catalogue) -> None:
        for name in official.names:
            dataset = official.dataset(name)
            if name == "sample":
                continue
            assert dataset.format == f"amazon{name[:4]}"
            points = {"split_points": [1628643414042, 1658002729837]} if name.startswith("2023-") else {}
            assert dataset.settings == points

    def test_releases_differ_in_the_categories_that_amazon_renamed(self, official: Catalogue) -> None:
        of = {year: {name[5:] for name in official.names if name.startswith(year)} for year in ("2014", "2018", "2023")}
        gone_in_2018 = {"Amazon_Instant_Video", "Apps_for_Android", "Baby", "Beauty", "Health_and_Personal_Care"}
        assert of["2014"] - of["2018"] == gone_in_2018
        assert of["2018"] - of["2023"] == {"AMAZON_FASHION", "Luxury_Beauty", "Prime_Pantry"}
        assert of["2023"] - of["2018"] == {
            "Amazon_Fashion", "Baby_Products", "Beauty_and_Personal_Care", "Handmade_Products", "Health_and_Household",
            "Health_and_Personal_Care", "Subscription_Boxes", "Unknown",
        }  # fmt: skip


class TestNames:
    def test_an_unknown_name_gets_the_closest_ones_in_one_short_sentence(self, official: Catalogue) -> None:
        with pytest.raises(InputError) as caught:
            official.dataset("2014-baby")
        message = str(caught.value)
        assert message.startswith("there is no dataset '2014-baby' in the catalogue; the closest to it: 2014-Baby")
        assert len(message) < 160
        assert "\n" not in message

    def test_a_name_like_no_other_gets_no_suggestion(self, official: Catalogue) -> None:
        with pytest.raises(InputError, match=r"^there is no dataset 'qqqq' in the catalogue$"):
            official.dataset("qqqq")

    @pytest.mark.parametrize("name", ["a/b", "../up", "'with space'", "''", "-x", "'{x}'"])
    def test_a_name_that_does_not_fit_a_file_name_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match="a name is made of letters, digits, '-' and '_'"):
            catalogue_of(tmp_path, f"datasets:\n  {name}: {{format: amazon2018}}")

    def test_a_name_that_is_there_twice_is_refused_with_its_line(self, tmp_path: Path) -> None:
        text = """\
            datasets:
              mine: {format: amazon2018, reviews: a, metadata: b}
              other: {format: amazon2018, reviews: a, metadata: b}
              mine: {format: amazon2023, reviews: a, metadata: b}
            """
        with pytest.raises(InputError, match=r"^datasets\.yaml, line 4: the key 'mine' is there twice$"):
            catalogue_of(tmp_path, text)

    def test_a_setting_that_is_there_twice_is_refused_with_its_line(self, tmp_path: Path) -> None:
        text = """\
            datasets:
              mine:
                format: amazon2018
                reviews: a
                metadata: b
                reviews: c
            """
        with pytest.raises(InputError, match=r"^datasets\.yaml, line 6: the key 'reviews' is there twice$"):
            catalogue_of(tmp_path, text)

    def test_an_entry_may_replace_a_part_of_what_it_shares(self, tmp_path: Path) -> None:
        text = """\
            releases:
              base: &base {format: amazon2018, reviews: "https://x.org/{category}.gz", metadata: b}
            datasets:
              2018-A: {<<: *base, metadata: "https://x.org/m_{category}.gz", enabled: true}
              2018-B-c: *base
            """
        catalogue = catalogue_of(tmp_path, text)
        first, second = (catalogue.dataset(name) for name in ("2018-A", "2018-B-c"))
        assert (first.reviews, first.metadata) == ("https://x.org/A.gz", "https://x.org/m_A.gz")
        assert (second.reviews, second.enabled) == ("https://x.org/B-c.gz", False)
        assert catalogue.enabled == ["2018-A"]


class TestEntries:
    @pytest.mark.parametrize(
        ("entry", "mistake"),
        [
            ("{format: amazon2018, reviews: a, metadata: b, review: c}", "there is no setting 'review'"),
            ("{format: amazon2018, reviews: a}", "'metadata' is missing"),
            ("{format: amazon2015, reviews: a, metadata: b}", "'format' is 'amazon2015': input should be"),
            ("{format: amazon2018, reviews: 3, metadata: b}", "'reviews' is 3: input should be a valid string"),
            ("{format: amazon2018, reviews: a, metadata: b, enabled: perhaps}", "'enabled' is 'perhaps': input"),
            ("{format: amazon2018, reviews: a, metadata: b, settings: [1]}", r"'settings' is \[1\]: input"),
            (
                "{format: amazon2018, reviews: a, metadata: b, name: c}",
                "there is no setting 'name': the key of an entry",
            ),
            (
                f"{{format: {'x' * 5000}, reviews: a, metadata: b}}",
                r"'format' is 'x{37}\.\.\.x{38}': input should be 'amazon2014'",
            ),
            ("nothing", "an entry is a mapping with format, reviews and metadata"),
            ("", "an entry is a mapping with format, reviews and metadata"),
        ],
    )
    def test_a_mistake_is_told_by_file_dataset_and_setting(self, tmp_path: Path, entry: str, mistake: str) -> None:
        with pytest.raises(InputError, match=rf"^datasets\.yaml, dataset mine: {mistake}"):
            one_dataset(tmp_path, entry).dataset("mine")

    def test_a_list_that_names_itself_a_billion_times_is_told_at_once(self, tmp_path: Path) -> None:
        levels = ["&l0 [x, x, x, x, x, x, x, x, x]"]
        levels += [f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
        entry = f"{{format: [{', '.join(levels)}], reviews: a, metadata: b}}"
        with pytest.raises(InputError, match=r"'format' is \[\['x', ") as told:
            one_dataset(tmp_path, entry).dataset("mine")
        assert len(str(told.value)) < 1_000

    def test_a_mistake_in_one_entry_does_not_hold_up_another(self, tmp_path: Path) -> None:
        text = """\
            datasets:
              broken: {format: amazon1999, enabled: true}
              sound: {format: amazon2018, reviews: "https://x.org/r", metadata: "https://x.org/m", enabled: true}
            """
        catalogue = catalogue_of(tmp_path, text)
        assert catalogue.names == ["broken", "sound"]
        assert catalogue.dataset("sound").reviews == "https://x.org/r"
        with pytest.raises(InputError, match="dataset broken"):
            catalogue.dataset("broken")

    def test_relative_paths_count_from_the_file_and_urls_stay(self, tmp_path: Path) -> None:
        folder = tmp_path / "lists"
        folder.mkdir()
        entry = "{format: amazon2018, reviews: ../raw/r.json.gz, metadata: 'https://x.org/m', images: pictures}"
        dataset = one_dataset(folder, entry).dataset("mine")
        assert dataset.reviews == str(tmp_path / "raw" / "r.json.gz")
        assert dataset.metadata == "https://x.org/m"
        assert dataset.images == str(folder / "pictures")

    def test_absolute_paths_and_the_sample_stay(self, tmp_path: Path) -> None:
        dataset = one_dataset(tmp_path, "{format: amazon2023, reviews: /data/r.jsonl, metadata: 'sample:'}").dataset(
            "mine"
        )
        assert (dataset.reviews, dataset.metadata, dataset.images) == ("/data/r.jsonl", "sample:", None)


class TestFiles:
    def test_a_missing_file_is_told_with_the_setting_that_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"the catalogue .*nowhere\.yaml does not exist \(REC_DATASETS\)"):
            load_catalogue(tmp_path / "nowhere.yaml")

    def test_a_folder_in_place_of_a_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot be read: .*directory \(REC_DATASETS\)"):
            load_catalogue(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"datasets:\n  a: [1, 2\n  b: 3\n", "datasets.yaml, line 3: this is not YAML"),
            (b"datasets: \xff\xfe", "datasets.yaml: this is not YAML"),
            (b"datasets: {a: 2014-99-99}", "datasets.yaml: this is not YAML"),
            (b"datasets: !!python/object/apply:os.getcwd []", "datasets.yaml, line 1: this is not YAML"),
            (b"[" * 5000, "datasets.yaml: this is not YAML"),
            (b"datasets: {a: *shop}", "datasets.yaml, line 1: found undefined alias 'shop'"),
            (b"datasets: [a, b]", "datasets.yaml: the file holds one mapping, 'datasets', from names to entries"),
            (b"just words", "datasets.yaml: the file holds one mapping, 'datasets', from names to entries"),
        ],
    )
    def test_what_is_no_catalogue_is_told_in_one_sentence(self, tmp_path: Path, content: bytes, message: str) -> None:
        file = tmp_path / "datasets.yaml"
        file.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_catalogue(file)
        assert str(caught.value) == message

    @pytest.mark.parametrize("content", ["", "datasets:\n"])
    def test_a_file_whose_last_entry_was_taken_out_names_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "datasets.yaml").write_text(content)
        assert load_catalogue(tmp_path / "datasets.yaml").names == []

    def test_a_local_entry_is_laid_over_the_one_of_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
        places = "format: amazon2018, reviews: 'https://x.org/r', metadata: 'https://x.org/m'"
        (tmp_path / "datasets.yaml").write_text(
            f"datasets:\n  shop: {{{places}, settings: {{user_core: 5, item_core: 5}}}}\n"
        )
        (tmp_path / "datasets.local.yaml").write_text(
            "datasets: {shop: {enabled: true, metadata: mine.jsonl, settings: {user_core: 3}}}"
        )
        shop = load_catalogue().dataset("shop")
        assert (shop.format, shop.reviews, shop.enabled) == ("amazon2018", "https://x.org/r", True)
        assert shop.metadata == str(tmp_path / "mine.jsonl")
        assert shop.settings == {"user_core": 3, "item_core": 5}

    def test_local_entries_come_after_the_project_s_and_replace_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path)
        (tmp_path / "datasets.yaml").write_text(
            "datasets:\n"
            "  first: {format: amazon2018, reviews: 'https://x.org/r', metadata: 'https://x.org/m'}\n"
            "  second: {format: amazon2018, reviews: 'https://x.org/r', metadata: 'https://x.org/m'}\n"
        )
        assert load_catalogue().names == ["first", "second"]
        (tmp_path / "datasets.local.yaml").write_text(
            "datasets:\n"
            "  first: {format: amazon2023, reviews: mine.jsonl, metadata: meta.jsonl, enabled: true}\n"
            "  third: {format: amazon2014}\n"
        )
        catalogue = load_catalogue()
        assert catalogue.names == ["first", "second", "third"]
        assert catalogue.enabled == ["first"]
        assert catalogue.dataset("first").reviews == str(tmp_path / "mine.jsonl")
        assert catalogue.dataset("second").format == "amazon2018"
        with pytest.raises(InputError, match=r"^datasets\.local\.yaml, dataset third: 'reviews' is missing"):
            catalogue.dataset("third")

    def test_the_environment_names_another_catalogue(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "other.yaml"
        file.write_text("datasets: {mine: {format: amazon2018, reviews: r, metadata: m}}")
        monkeypatch.setenv("REC_DATASETS", str(file))
        assert load_catalogue().names == ["mine"]


class TestOddValues:
    @pytest.mark.parametrize(
        ("written", "enabled"),
        [("true", True), ("yes", True), ('"true"', True), ("1", True), ("false", False), ('"false"', False),
         ('"no"', False), ("0", False), ("~", False), ("maybe", False), ("[]", False)],
    )  # fmt: skip
    def test_enabled_is_on_where_it_says_so_and_there_is_one_answer(
        self, tmp_path: Path, written: str, enabled: bool
    ) -> None:
        entry = f"{{format: amazon2023, reviews: r, metadata: m, enabled: {written}}}"
        catalogue = one_dataset(tmp_path, entry)
        assert catalogue.enabled == (["mine"] if enabled else [])
        if written in ("~", "maybe", "[]"):
            with pytest.raises(InputError, match="'enabled' is "):
                catalogue.dataset("mine")
        else:
            assert catalogue.dataset("mine").enabled == enabled

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("2018", "a number"),
            ("1e3.5", None),
            ("0123", "a number"),
            ("1.5", "a number"),
            ("no", "false"),
            ("On", "true"),
            ("~", "nothing"),
            ("2018-01-01", "a date"),
        ],
    )
    def test_a_name_that_yaml_reads_as_something_else_says_to_quote_it(
        self, tmp_path: Path, name: str, kind: str | None
    ) -> None:
        with pytest.raises(InputError) as caught:
            catalogue_of(tmp_path, f"datasets:\n  {name}: {{}}")
        if kind:
            assert f"YAML reads this as {kind}" in str(caught.value)
            assert str(caught.value).endswith("put the name into quotes")

    def test_a_name_is_no_longer_than_a_file_name_may_be(self, tmp_path: Path) -> None:
        assert catalogue_of(tmp_path, f"datasets: {{{'a' * 100}: {{}}}}").names == ["a" * 100]
        with pytest.raises(InputError, match="at most 100 characters, and this one has 101"):
            catalogue_of(tmp_path, f"datasets: {{{'a' * 101}: {{}}}}")

    @pytest.mark.parametrize(
        ("written", "sentence"),
        [
            ("[2018-01-01, 2019-01-01]", "holds 2018-01-01, a date; as ms since the epoch it is 1514764800000"),
            (
                "[1, 2018-01-01T12:00:00Z]",
                "holds 2018-01-01 12:00:00+00:00, a date; as ms since the epoch it is 1514808000000",
            ),
        ],
    )
    def test_a_date_says_which_number_it_would_be(self, tmp_path: Path, written: str, sentence: str) -> None:
        entry = f"{{format: amazon2023, reviews: r, metadata: m, settings: {{split_points: {written}}}}}"
        with pytest.raises(InputError) as caught:
            one_dataset(tmp_path, entry).dataset("mine")
        assert sentence in str(caught.value)


class TestMerges:
    RELEASES = """
        releases:
          base: &base {format: amazon2023, reviews: r, metadata: m, settings: {split_points: [1, 2], user_core: 5}}
          other: &other {<<: *base, settings: {item_core: 3, user_core: 4}}
          shared: &shared {dim: 8}
          of_settings: &of_settings {user_core: 9}
        datasets:
    """

    @pytest.mark.parametrize(
        ("entry", "settings"),
        [
            ("{<<: *base}", {"split_points": [1, 2], "user_core": 5}),
            ("{<<: *base, settings: {user_core: 3}}", {"split_points": [1, 2], "user_core": 3}),
            ("{settings: {user_core: 3}, <<: *base}", {"split_points": [1, 2], "user_core": 3}),
            ("{<<: *other, settings: {dim: 8}}", {"split_points": [1, 2], "user_core": 4, "item_core": 3, "dim": 8}),
            (
                "{<<: [*other, *base], settings: {dim: 8}}",
                {"split_points": [1, 2], "user_core": 4, "item_core": 3, "dim": 8},
            ),
            (
                "{<<: [*base, *other], settings: {dim: 8}}",
                {"split_points": [1, 2], "user_core": 5, "item_core": 3, "dim": 8},
            ),
            ("{<<: *base, settings: *shared}", {"split_points": [1, 2], "user_core": 5, "dim": 8}),
            ("{<<: *base, settings: {<<: *of_settings}}", {"split_points": [1, 2], "user_core": 9}),
            ("{<<: *base, settings: {<<: *of_settings, user_core: 3}}", {"split_points": [1, 2], "user_core": 3}),
        ],
    )
    def test_settings_are_laid_over_those_of_what_is_merged(
        self, tmp_path: Path, entry: str, settings: dict[str, object]
    ) -> None:
        text = dedent(self.RELEASES).rstrip() + f"\n  mine: {entry}\n  after: {{<<: *base, settings: *shared}}\n"
        catalogue = catalogue_of(tmp_path, text)
        assert catalogue.dataset("mine").settings == settings
        assert catalogue.dataset("after").settings == {"split_points": [1, 2], "user_core": 5, "dim": 8}

    def test_a_release_of_the_project_keeps_its_split_points(self, tmp_path: Path) -> None:
        text = (PROJECT_ROOT / "datasets.yaml").read_text() + "\n  mine: {<<: *amazon2023, settings: {user_core: 3}}\n"
        found = catalogue_of(tmp_path, text).dataset("mine").settings
        assert found == {"split_points": [1628643414042, 1658002729837], "user_core": 3}

    def test_merges_without_end_are_read_in_time(self, tmp_path: Path) -> None:
        levels = [f"  l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 9)}]}}" for n in range(1, 6)]
        text = "\n".join(["releases:", "  l0: &l0 {a: 1}", *levels, "datasets: {mine: {<<: *l5, settings: {dim: 8}}}"])
        assert catalogue_of(tmp_path, text).names == ["mine"]


class TestPaths:
    def test_a_home_and_a_relative_path_mean_the_same_in_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        deep = tmp_path / "deep"
        deep.mkdir()
        entry = (
            "{format: amazon2023, reviews: ~/r.jsonl, metadata: ../m.jsonl, images: pics, image_links: ~/blobs, "
            "settings: {image_weights: ./w.safetensors, text_encoder: org/name}}"
        )
        found = one_dataset(deep, entry).dataset("mine")
        home = tmp_path / "home"
        assert (found.reviews, found.metadata) == (str(home / "r.jsonl"), str(tmp_path / "m.jsonl"))
        assert (found.images, found.image_links) == (str(tmp_path / "deep" / "pics"), str(home / "blobs"))
        assert found.settings["image_weights"] == str(tmp_path / "deep" / "w.safetensors")
        assert found.settings["text_encoder"] == "org/name"

    def test_they_mean_the_same_in_variables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        for given, expected in (("~/x", tmp_path / "home" / "x"), ("x", tmp_path / "x"), ("./a/../x", tmp_path / "x")):
            for variable in ("REC_DATA", "REC_WORK", "REC_DATASETS", "DAGSTER_HOME"):
                monkeypatch.setenv(variable, given)
            assert path_named("REC_DATASETS") == path_named("DAGSTER_HOME") == expected
            assert (DataRoot.from_environment().root, DataRoot.from_environment().work) == (expected, expected)
            with pytest.raises(InputError) as caught:
                load_catalogue()
            assert f"the catalogue {expected} does not exist" in str(caught.value)

    def test_the_home_of_nobody_is_one_sentence_and_holds_up_no_other(self, tmp_path: Path) -> None:
        text = """
            datasets:
              mine: {format: amazon2023, reviews: /r, metadata: /m}
              other: {format: amazon2023, reviews: ~nobody-of-this-name/r, metadata: /m}
        """
        catalogue = catalogue_of(tmp_path, text)
        assert catalogue.local_files == {Path("/r"), Path("/m")}
        with pytest.raises(InputError, match="dataset other: ~nobody-of-this-name/r begins with the home of a user"):
            catalogue.dataset("other")
