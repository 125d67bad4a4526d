from __future__ import annotations

import tomllib
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.config import Settings, default_toml, load, parse_size, to_environment
from tiffin.errors import InvalidInputError, StorageError
from tiffin.schema.durations import parse_duration


def write_toml(base: Path, text: str) -> None:
    (base / "config").mkdir(exist_ok=True)
    (base / "config" / "tiffin.toml").write_text(text)


class TestLoad:
    def test_without_anything_the_defaults_hold(self, tmp_path):
        assert load(tmp_path, {}, {}) == Settings()

    def test_arguments_win_over_environment_over_file_over_defaults(self, tmp_path):
        write_toml(tmp_path, 'compression = "lz4"\nkeep_versions = 5\ncompact_files = 7\n')
        environ = {"TIFFIN_KEEP_VERSIONS": "6", "TIFFIN_COMPRESSION": "snappy", "HOME": "/"}
        settings = load(tmp_path, environ, {"compression": "none"})
        assert (settings.compression, settings.keep_versions, settings.compact_files) == ("none", 6, 7)
        assert settings.checkpoint_every == Settings().checkpoint_every

    def test_people_write_sizes_and_durations(self, tmp_path):
        write_toml(tmp_path, 'memory_cache_bytes = "512MB"\ndisk_cache_bytes = 0\ncache_ttl_s = "1h30m"\n')
        settings = load(tmp_path, {"TIFFIN_TARGET_FILE_BYTES": "1GiB"}, {})
        assert (settings.memory_cache_bytes, settings.disk_cache_bytes) == (512_000_000, 0)
        assert (settings.cache_ttl_s, settings.target_file_bytes) == (5400.0, 2**30)
        assert load(tmp_path, {}, {"cache_ttl_s": timedelta(minutes=1)}).cache_ttl_s == 60

    def test_each_none_has_a_word_where_none_cannot_be_written(self, tmp_path):
        environ = {"TIFFIN_CACHE_TTL_S": "never", "TIFFIN_KEEP_VERSIONS": "all", "TIFFIN_COMPRESSION_LEVEL": "default"}
        settings = load(tmp_path, environ, {})
        assert (settings.cache_ttl_s, settings.keep_versions, settings.compression_level) == (None, None, None)
        assert load(tmp_path, {}, {"cache_ttl_s": None}).cache_ttl_s is None

    @pytest.mark.parametrize(
        ("text", "value"), [("true", True), ("on", True), ("1", True), ("FALSE", False), ("no", False)]
    )
    def test_yes_and_no_come_in_several_words(self, tmp_path, text, value):
        assert load(tmp_path, {"TIFFIN_VERIFY_CHECKSUMS": text}, {}).verify_checksums is value

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("compression", "gzip"),
            ("compression", 3),
            ("compression_level", 0),
            ("compression_level", 23),
            ("memory_cache_bytes", -1),
            ("memory_cache_bytes", "12 parsecs"),
            ("memory_cache_entries", 1.5),
            ("memory_cache_entries", "many"),
            ("cache_ttl_s", 0),
            ("cache_ttl_s", float("nan")),
            ("cache_ttl_s", float("inf")),
            ("cache_ttl_s", "soon"),
            ("cache_ttl_s", True),
            ("keep_versions", 0),
            ("keep_versions", True),
            ("checkpoint_every", "9" * 5000),
            ("checkpoint_every", None),
            ("row_group_rows", 2**63),
            ("verify_checksums", "perhaps"),
            ("verify_checksums", 1),
        ],
    )
    def test_a_value_that_is_not_allowed_is_named_with_its_setting(self, tmp_path, name, value):
        with pytest.raises(InvalidInputError, match=f"argument: {name}: .* is not ") as caught:
            load(tmp_path, {}, {name: value})
        assert caught.value.hint
        with pytest.raises(InvalidInputError, match=f"argument: {name}: "):
            Settings(**{name: value})

    def test_an_error_says_which_place_the_value_came_from(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"environment: TIFFIN_KEEP_VERSIONS: '-3' is not"):
            load(tmp_path, {"TIFFIN_KEEP_VERSIONS": "-3"}, {})
        write_toml(tmp_path, "keep_versions = -3\n")
        with pytest.raises(InvalidInputError, match=r"config/tiffin.toml: keep_versions: -3 is not"):
            load(tmp_path, {}, {})

    def test_a_mistyped_name_is_an_error_that_suggests_the_right_one(self, tmp_path):
        for environ, overrides in (({"TIFFIN_KEEP_VERSION": "3"}, {}), ({}, {"keep_version": 3})):
            with pytest.raises(InvalidInputError, match=r"(?i)keep_version is not a setting") as caught:
                load(tmp_path, environ, overrides)
            assert "'keep_versions'" in caught.value.hint
        write_toml(tmp_path, "[keep]\nversions = 3\n")
        with pytest.raises(InvalidInputError, match=r"config/tiffin.toml: keep is not a setting"):
            load(tmp_path, {}, {})

    def test_variables_of_other_parts_are_left_alone(self, tmp_path):
        assert load(tmp_path, {"TIFFIN_API_KEY": "secret", "TIFFIN_URL": "x", "TIFFINS": "y"}, {}) == Settings()

    def test_a_level_needs_the_codec_that_has_levels(self, tmp_path):
        assert load(tmp_path, {}, {"compression_level": 3}).compression_level == 3
        with pytest.raises(InvalidInputError, match="compression_level = 3 does not go with compression = 'snappy'"):
            load(tmp_path, {"TIFFIN_COMPRESSION_LEVEL": "3"}, {"compression": "snappy"})

    @pytest.mark.parametrize("content", [b"compression = ", b"\xff\xfe", b"a = 1\na = 2"])
    def test_a_broken_file_is_a_clear_error(self, tmp_path, content):
        write_toml(tmp_path, "")
        (tmp_path / "config" / "tiffin.toml").write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"tiffin\.toml' is not valid TOML"):
            load(tmp_path, {}, {})

    def test_a_settings_file_elsewhere_is_not_followed_to(self, tmp_path):
        (tmp_path / "elsewhere.toml").write_text('compression = "lz4"')
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "tiffin.toml").symlink_to(tmp_path / "elsewhere.toml")
        with pytest.raises(StorageError, match="symbolic link"):
            load(tmp_path, {}, {})


class TestDefaultToml:
    def test_it_names_every_setting_and_its_default(self, tmp_path):
        text = "\n".join(line.removeprefix("# ") if " = " in line else line for line in default_toml().splitlines())
        assert list(tomllib.loads(text)) == [setting.name for setting in fields(Settings)]
        write_toml(tmp_path, text)
        assert asdict(load(tmp_path, {}, {})) == asdict(Settings())

    def test_as_written_it_changes_nothing(self, tmp_path):
        write_toml(tmp_path, default_toml())
        assert load(tmp_path, {"TIFFIN_COMPRESSION": "lz4"}, {}) == Settings(compression="lz4")

    def test_every_setting_is_explained(self):
        for setting in fields(Settings):
            assert f"## {setting.metadata['about']}\n# {setting.name} = " in default_toml()
            assert len(setting.metadata["about"]) > 30


class TestParseSize:
    @pytest.mark.parametrize(
        ("text", "size"),
        [("0", 0), ("12", 12), ("1kB", 1000), ("1 KiB", 1024), ("1.5GB", 1_500_000_000), (" 2 tib ", 2 * 2**40)],
    )
    def test_units(self, text, size):
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "1 XB", "1MBMB", "1..5MB", "9" * 5000, "١MB", "1M"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(InvalidInputError, match="is not a size"):
            parse_size(text)

    @given(st.integers(0, 2**60))
    def test_bytes_are_exact(self, size):
        if size < 10**15:
            assert parse_size(str(size)) == size
        assert parse_size(f"{size % 1000}.5KiB") == size % 1000 * 1024 + 512


class TestParseDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0", 0), ("90", 90), ("250ms", 0.25), ("1m", 60), ("1h30m", 5400), ("1 d 1 s", 86401), ("0.5H", 1800)],
    )
    def test_units(self, text, seconds):
        assert parse_duration(text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("text", ["", "h", "1x", "-1h", "1h30", "1e3", "999999999999w", "9" * 5000, "1h,2m"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(InvalidInputError, match="is not a duration"):
            parse_duration(text)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keep_versions": 3, "cache_ttl_s": None, "compression_level": 7, "verify_checksums": False},
        {"compression": "lz4", "memory_cache_bytes": 0, "cache_ttl_s": 0.25, "online_index": "redis://h:1/0"},
    ],
)
def test_another_process_has_the_same_settings(tmp_path, settings):
    here = load(tmp_path, {}, settings)
    assert load(tmp_path, to_environment(here), {}) == here
