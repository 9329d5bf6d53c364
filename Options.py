"""How settings are declared: groups of documented keys with types, bounds and defaults, and how words become them.

Each floor declares its own (`Models/options.py`, `Input/augmentation.py`, `Learning/options.py`); `Config.py` puts them
together to what a script may be told.
"""

import ast
import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_origin

from Files import require_name

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Tree = Mapping[str, Any]
"""Nested dicts of plain values: what a command line, a preset or a stored run says."""

# ---------------------------------------------------------------- words of the command line


class Word(str):
    """A value as it was typed: a name stays text (`1.10`, `2026_11_28`, `1e5`); what else it means, its key decides."""

    def means(self, kinds: tuple[Any, ...]) -> Any:
        """The value for a key of these types: text as it is where a name is expected, else as Python reads it."""
        if str in kinds or any(isinstance(kind, str) for kind in kinds):
            if self[:1] + self[-1:] in ("''", '""') and len(self) > 1:
                return str(self[1:-1])
            if self[:1] not in ("[", "(", "{"):
                return str(self)
        try:
            return ast.literal_eval(self)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return str(self)


# ---------------------------------------------------------------- types of values


def _split_commas(value: Any) -> Any:
    if isinstance(value, Word):
        value = value.means((str,))
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    value = _split_commas(value)
    return value if isinstance(value, (list, tuple)) else (value,)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(names) or len(set(names)) < len(names):
        raise ValueError("must give each name once and none empty")
    return tuple(require_name(name, "each") for name in names)


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9][\w.-]*)?", name):
        raise ValueError("must be a plain folder name of letters, digits and . _ -")
    return name


def _odd(taps: int) -> int:
    if taps % 2 == 0:
        raise ValueError("must be odd")
    return taps


def _not_zero(jobs: int) -> int:
    if not jobs:
        raise ValueError("must be a number of tracks, or -1 for one a core")
    return jobs


def _bounds(value: Any) -> Any:
    bounds = _split_commas(value)
    if not isinstance(bounds, Mapping) and not (isinstance(bounds, (list, tuple)) and len(bounds) == 2):
        raise ValueError("must be a lower and an upper bound, like 1,3")
    return bounds


def _rising(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError("must give the lower bound first")
    return bounds


T = TypeVar("T")

Name = Annotated[str, AfterValidator(require_name)]
"""Safe as the name of a file or folder."""

FolderName = Annotated[str, AfterValidator(_folder_name)]
"""A folder's name without anything that a shell or a path would read otherwise; may be empty."""

Distinct = Annotated[tuple[T, ...], BeforeValidator(_split_commas), AfterValidator(_distinct)]
"""Words, each once, given as a list or as `every,output`; `T` says which there are."""

Names = Distinct[str]
"""Distinct names, given as a list or as `vn,vc`."""

Range = Annotated[tuple[T, T], BeforeValidator(_bounds), AfterValidator(_rising)]
"""Lower and upper bound of what `T` says, given as a list or as `0.5,1`."""

Odd = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""The taps of a filter that has a middle."""

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

Counts = Annotated[tuple[Count, ...], BeforeValidator(_several)]
"""One count or several: `2` or `2,3`."""

Jobs = Annotated[int, AfterValidator(_not_zero)]
"""As joblib counts: -1 is one a core, -2 one less."""

# ---------------------------------------------------------------- groups of keys


class Options(BaseModel):
    """Keys that belong together; frozen, and closed to keys it does not know.

    A key is documented by the string below it. One that only gives another default than the base class, or fewer
    choices, keeps the base's documentation.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # `name=7` is the name "7"
        use_attribute_docstrings=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Called by pydantic when a subclass is complete."""
        for name, field in cls.model_fields.items():
            for base in cls.__mro__[1:]:
                inherited = getattr(base, "__pydantic_fields__", {}).get(name)
                field.description = field.description or (inherited and inherited.description)

    @model_validator(mode="before")
    @classmethod
    def _read_words(cls, tree: Any) -> Any:
        """Reads `null` and `none` where None is allowed, and keeps True from passing as the number 1."""
        if not isinstance(tree, dict):
            return tree
        return {key: _word(value, cls.model_fields.get(key)) for key, value in tree.items()}


Group = TypeVar("Group", bound=Options)


def _word(value: Any, field: Any) -> Any:
    kinds = _kinds(field) if field else ()
    if isinstance(value, Word):
        value = value.means(kinds)
    if type(None) in kinds and value in ("null", "none"):
        return None
    return str(value) if isinstance(value, bool) and kinds and kinds[0] in (int, float) else value


def _kinds(field: Any) -> tuple[Any, ...]:
    """The types that a field may have; of a choice, its words."""
    return getattr(field.annotation, "__args__", (field.annotation,))


def variants(field: Any) -> dict[str, type[Options]]:
    """The groups that a field may hold, by the word that chooses one; by the empty word where there is one alone."""
    if get_origin(field.annotation) is dict:  # of groups by name: see `_paths`
        return {}
    groups = [kind for kind in _kinds(field) if isinstance(kind, type) and issubclass(kind, Options)]
    return {kind.model_fields[field.discriminator].default if field.discriminator else "": kind for kind in groups}


class Contradiction(ValueError):
    """Settings that are valid one by one and not together."""


def checked(schema: type[Group], tree: Tree) -> Group:
    """The group that values by key mean; keys left out take their default.

    Raises:
        ValueError: one line about the first mistake: its dotted path, what was expected, what was received;
            `Contradiction` if each value alone is valid.
    """
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        kind = Contradiction if _contradicts(first) else ValueError
        raise kind(_one_line(schema, first) + more) from None


def _one_line(schema: type[Options], mistake: Any) -> str:
    tags = {tag for field in schema.model_fields.values() for tag in variants(field)}
    chosen = [step for step in mistake["loc"] if step in tags]  # pydantic's note of which variant was meant
    path, received = ".".join(str(step) for step in mistake["loc"] if step not in chosen), mistake["input"]
    if mistake["type"] == "extra_forbidden":
        return _unknown_key(list(_paths(schema, chosen)), path, received)
    if mistake["type"] == "tuple_type" and isinstance(received, dict):
        return f"'{path}' must be set as a whole, like {path}=a,b; received {path}.{next(iter(received))}=..."
    if mistake["type"] == "union_tag_invalid":
        key, words = mistake["ctx"]["discriminator"].strip("'"), re.findall(r"'(.*?)'", mistake["ctx"]["expected_tags"])
        path, received = f"{path}.{key}", received[key]
        return f"'{path}' must be one of {', '.join(words)}; received {received!r}{did_you_mean(received, words)}"
    if mistake["type"] in ("model_type", "model_attributes_type"):
        return f"'{path}' is a group of keys, like {path}.key=value; received {path}={received!r}"
    if mistake["type"] == "missing":
        return f"'{path}' is missing; received {received!r}"
    expected = re.sub(r"^(\w+ should|Value error, must)", "must", mistake["msg"]).partition(", unable to")[0]
    if _contradicts(mistake):
        return f"'{path}' {expected}" if path else f"the settings {expected}"
    words = re.findall(r"'(.*?)'", expected) if mistake["type"] == "literal_error" else []
    return f"'{path}' {expected}; received {received!r}{did_you_mean(received, words)}"


def _contradicts(mistake: Any) -> bool:
    """Whether keys are at fault together."""
    return mistake["type"] == "value_error" and isinstance(mistake["input"], dict)


def _unknown_key(keys: list[str], path: str, received: Any) -> str:
    while isinstance(received, dict) and received:  # `modle.levels=5` is unknown from `modle` on; name it whole
        key = next(iter(received))
        path, received = f"{path}.{key}", received[key]
    near = did_you_mean(path, keys)
    group = path.partition(".")[0]
    known = [key for key in keys if key.startswith(group + ".")] or list(dict.fromkeys(k.split(".")[0] for k in keys))
    return f"unknown key '{path}'{near or '; known: ' + ', '.join(known)}"


def _paths(schema: type[Options], chosen: list[Any]) -> Iterator[str]:
    """Every dotted key; of groups that a word chooses, those of the first, or of the one that is in `chosen`."""
    for name, field in schema.model_fields.items():
        groups = variants(field)
        if groups:
            group = next((groups[tag] for tag in groups if tag in chosen), next(iter(groups.values())))
            yield from (f"{name}.{path}" for path in _paths(group, chosen))
        elif isinstance(field.default, dict) and any(isinstance(one, Options) for one in field.default.values()):
            for key, one in field.default.items():
                yield from (f"{name}.{key}.{path}" for path in _paths(type(one), chosen))
        else:
            yield name


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """The end of an error: which of `names` is nearest to `word`, which may lack what is before a name's last dot."""
    names = list(names)
    known = {name.rpartition(".")[2]: name for name in names} | {name: name for name in names}
    initials = {"".join(part[0] for part in name.split("_") if part): name for name in known if "_" in name}
    short = initials.get(str(word).rpartition(".")[2])  # `lr` for learning_rate
    near = [short] if short else difflib.get_close_matches(str(word), known, 1)
    return f"; did you mean '{known[near[0]]}'?" if near else ""


# ---------------------------------------------------------------- groups as dicts, and on a screen


def from_dict(schema: type[Group], tree: Tree) -> Group:
    """Builds `schema` from a tree that a run stored or Sacred hands over; keys left out take their default.

    Raises:
        ValueError: as `checked`.
    """
    if "seed" not in schema.model_fields:  # Sacred adds one to every configuration
        tree = {key: value for key, value in tree.items() if key != "seed"}
    return checked(schema, tree)


def to_dict(options: Options) -> dict[str, Any]:
    """Nested dicts of plain values, as Sacred and json keep them."""
    return options.model_dump(mode="json")


def nested(keys: Mapping[str, Any]) -> Tree:
    """Values by dotted key as nested dicts."""
    tree: dict[str, Any] = {}
    for key, value in keys.items():
        *groups, last = key.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = value
    return tree


def flat(tree: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts, as words, by their dotted path."""
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from flat(value, where)
        else:
            yield where, ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two configurations by dotted key, in words."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key} was {before.get(key, 'not there')} and is {now.get(key, 'not there')}" for key in keys]


def explained(options: Options, path: str = "", words: Mapping[str, list[str]] = MappingProxyType({})) -> Iterator[str]:
    """Every key of a group with its value, what it may be, and its documentation, as lines for a screen.

    Args:
        options: the group.
        path: what its keys begin with.
        words: the choices of a key where its type does not say all.
    """
    for name, field in type(options).model_fields.items():
        value, key = getattr(options, name), f"{path}{name}"
        document = " ".join((field.description or "").split())
        if isinstance(value, dict) and any(isinstance(one, Options) for one in value.values()):
            yield from textwrap.wrap(f"{key}.*: {document}", 112, initial_indent="  ", subsequent_indent=" " * 8)
            for one, group in value.items():
                yield from explained(group, f"{key}.{one}.")
            continue
        if isinstance(value, Options):
            about = document or (type(value).__doc__ or "").strip().partition("\n")[0]
            chosen = {str(field.discriminator): list(variants(field))}
            yield from ("", f"{key}: {about}", *explained(value, f"{key}.", chosen))
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"  {key}={text}{_choices(field, words.get(name, []))}"
        yield from textwrap.wrap(document, 110, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _choices(field: Any, words: list[str]) -> str:
    """`  (a, b)`, `  (at least 1)`; empty where anything goes."""
    if words := words or [kind for kind in _kinds(field) if isinstance(kind, str)]:
        return f"  ({', '.join(words)})"
    names = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{names[key]} {getattr(each, key)}" for each in field.metadata for key in names if hasattr(each, key)]
    return f"  ({', '.join(bounds)})" if bounds else ""
