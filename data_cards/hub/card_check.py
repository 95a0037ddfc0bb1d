"""The validator of dataset cards: what the Hub and a reader need, and what is missing."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from motionbench.case import Category

from .address import is_inside
from .licenses import KNOWN

REQUIRED = ("license", "task_categories", "size_categories", "pretty_name", "configs")
SECTIONS = ("composition", "sources and consent", "collection", "prompts", "uses", "limits", "which motionbench")
SIZE = re.compile(r"n<1K|1K<n<10K|10K<n<100K|100K<n<1M|1M<n<10M|n>1T")
TASKS = ("text-to-video", "video-to-video", "image-to-video", "other")
SPLIT = re.compile(r"\w+(\.\w+)*")
LEAST_WORDS = 8  # a section shorter than this says nothing


def check_card(text: str, *, configs: bool = True) -> list[str]:
    """What is wrong with a card, one sentence each; [] for a good one.

    configs: ask for configurations with data files (a repository's card has them, a split's own card need not).
    """
    if not text.startswith("---\n"):
        return ["the front matter is missing: the card must begin with a block of YAML between lines of ---"]
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import DatasetCard

    try:
        card = DatasetCard(text)
    except yaml.YAMLError as error:
        return [f"the front matter is not YAML: {str(error).splitlines()[0]}"]
    except (ValueError, TypeError) as error:  # no mapping, or keys that are no words
        return [f"the front matter must be a mapping of words to values: {error}"]
    value: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    required = [key for key in REQUIRED if configs or key != "configs"]
    problems = [f"the front matter lacks {key}" for key in required if not value.get(key)]
    problems += check_license(value) + check_words(value)
    problems += check_configs(value.get("configs") or [])
    return problems + check_sections(card.text)


def check_license(value: dict[str, Any]) -> list[str]:
    """Whether each license is one that the Hub knows, and `other` says where its text is."""
    names = as_list(value.get("license"))
    problems = [f"license {name!r} is not one the Hub knows; use its lower-case SPDX identifier or `other`"
                for name in names if name not in KNOWN]  # fmt: skip
    if "other" in names and not (value.get("license_name") and value.get("license_link")):
        problems.append("license `other` needs license_name and license_link")
    return problems


def check_words(value: dict[str, Any]) -> list[str]:
    """Whether task and size are words of the Hub."""
    tasks = [task for task in as_list(value.get("task_categories")) if task not in TASKS]
    sizes = [size for size in as_list(value.get("size_categories")) if not SIZE.fullmatch(str(size))]
    problems = [f"task {task!r} is not one of {', '.join(TASKS)}" for task in tasks]
    return problems + [f"size {size!r} is not a size of the Hub such as n<1K" for size in sizes]


def check_configs(configs: Any) -> list[str]:
    """Whether each configuration is a category with splits whose files lie in the repository."""
    problems: list[str] = []
    seen: set[str] = set()
    for config in as_list(configs):
        name = str(config.get("config_name")) if isinstance(config, dict) else str(config)
        if name not in list(Category):
            problems.append(f"configuration {name!r} is not a category: {', '.join(Category)}")
            continue
        if name in seen:
            problems.append(f"configuration {name!r} stands twice")
        seen.add(name)
        files = as_list(config.get("data_files"))
        problems += [f"configuration {name!r} has no data_files"] if not files else []
        problems += [problem for file in files for problem in check_file(name, file)]
    return problems


def check_file(config: str, file: Any) -> list[str]:
    """Whether one entry of data_files names a split and parquet files inside the repository."""
    if not isinstance(file, dict) or not {"split", "path"} <= set(file):
        return [f"configuration {config!r}: each of data_files needs split and path, got {file!r}"]
    problems = []
    if not SPLIT.fullmatch(str(file["split"])):
        problems.append(f"configuration {config!r}: split {file['split']!r} must be letters, digits and underscores")
    paths = [str(path) for path in as_list(file["path"])]
    wrong = [path for path in paths if not is_inside(path) or PurePosixPath(path).suffix != ".parquet"]
    return problems + [f"configuration {config!r}: {path!r} is not a parquet file of the repository" for path in wrong]


def check_sections(body: str) -> list[str]:
    """Whether every section is there and says something."""
    sections = {title.strip().lower(): text for title, text in re.findall(r"^##+ (.+)\n((?:(?!##).*\n?)*)", body, re.M)}
    problems = []
    for section in SECTIONS:
        text = next((text for title, text in sections.items() if title.startswith(section)), None)
        if text is None:
            problems.append(f"section {section!r} is missing")
        elif len(text.split()) < LEAST_WORDS:
            problems.append(f"section {section!r} is empty or says next to nothing")
    return problems


def as_list(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, anything else as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]
