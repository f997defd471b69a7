"""Settings: flag > environment > file > default. An unknown name is refused with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.engine.encoders.formats import Limits
from service.engine.options import EngineOptions

PREFIX = "WINNOW_"
# Kubernetes injects the first two for a Service named winnow; the others belong to other verbs.
IGNORED_PREFIXES = ("WINNOW_SERVICE_", "WINNOW_PORT")
IGNORED_NAMES = ("WINNOW_DATA", "WINNOW_CONFIG")
Count = Annotated[int, Field(ge=1)]


class SettingsRefused(ValueError):
    """A setting that cannot be used; the message is one line that says what to do."""


def parse_bind(bind: str) -> tuple[str, int]:
    """``host:port``, ``[v6]:port`` -> host and port. Raises ValueError."""
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError(f"{bind!r} is not host:port, as in 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def _check_bind(bind: str) -> str:
    parse_bind(bind)
    return bind


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HttpSettings(_Section):
    """Where to listen, and how long a shutdown may take."""

    bind: Annotated[str, AfterValidator(_check_bind)] = "127.0.0.1:8000"
    """Address and port to listen on."""
    grace_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long SIGTERM waits for what was admitted."""


class EngineSettings(_Section):
    """The device loop's dials; see EngineOptions."""

    threads: Count | None = None
    """CPU threads for torch; without it what the container may use."""
    batch_rows: Count = EngineOptions.batch_rows
    """Rows of one generator call."""
    proposal_block: Annotated[int, Field(ge=1, le=2**20)] = EngineOptions.proposal_block
    """Latents weighed in one call."""
    queue_rows: Count = EngineOptions.queue_rows
    """Samples that waiting requests of more than one batch may add up to."""
    queue_requests: Count = EngineOptions.queue_requests
    """Requests that may wait."""


class LimitSettings(_Section):
    """What one request may ask for."""

    max_n: Count = 100_000
    """Samples of one request."""
    sheet_rows: Count = Limits.sheet_rows
    """Samples on a contact sheet or scatter plot."""
    npz_bytes: Count = Limits.npz_bytes
    """Bytes of an npz answer before compression."""
    json_bytes: Count = Limits.json_bytes
    """Bytes of a JSON answer."""
    # Of a body: 20,000 latents of 100 numbers as npy. JSON of this size can take thirty times as much while it is read.
    body_bytes: Count = 8 * 2**20
    """Bytes of a request's body."""
    max_proposals_per_sample: Count = EngineOptions.max_proposals_per_sample
    """Proposals that a sample may cost on average; a method that needs more fails with `rejection_stalled`."""
    encoder_threads: Count = 2
    """Answers encoded at the same time."""


class Settings(BaseSettings):
    """All of them. Environment: WINNOW_BUNDLES, WINNOW_HTTP__BIND, WINNOW_ENGINE__THREADS, ..."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        nested_model_default_partial_update=True,
    )

    bundles: Path = Path("bundles")
    """Folder of bundles, or one bundle."""
    default_model: str | None = None
    """Model of requests that name none; without it `fashion-mnist`, else the first that loads."""
    log: Literal["auto", "json", "pretty"] = "auto"
    """Form of the log lines; `auto` is `pretty` on a terminal and `json` elsewhere."""
    tracing: bool = False
    """Send OpenTelemetry traces (needs the extra `otel`); OTEL_EXPORTER_OTLP_ENDPOINT says where."""
    http: HttpSettings = HttpSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _queue_holds_a_request(self) -> Settings:
        if self.engine.queue_rows < self.limits.max_n:
            raise ValueError("engine.queue_rows must be at least limits.max_n, or the largest request never fits")
        return self


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Put the layers together. ``flags`` are nested like the model, without those not given.

    Raises SettingsRefused.
    """
    refuse_unknown(environment)
    config = config or (Path(environment["WINNOW_CONFIG"]) if environment.get("WINNOW_CONFIG") else None)
    if config is not None and not config.is_file():
        raise SettingsRefused(f"the settings file {config} does not exist")

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            file = () if config is None else (TomlConfigSettingsSource(settings_cls, toml_file=config),)
            return (init_settings, env_settings, *file)

    try:
        return Layered(**flags)
    except ValidationError as error:
        raise SettingsRefused(_first_problem(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"{config} is not valid TOML: {error}") from error
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"the settings cannot be read: {error}") from error


def known_names() -> list[str]:
    """Settings by dotted name, as in a file: ``http.bind``."""
    return list(_walk(Settings, ""))


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raises SettingsRefused for the first WINNOW_ variable that is not a setting."""
    names = known_names()
    sections = {name.split(".")[0] for name in names}
    known = {PREFIX + name.replace(".", "__").upper() for name in [*names, *sections]}
    for name in sorted(environment):
        key = name.upper()
        if not key.startswith(PREFIX) or key in known or key in IGNORED_NAMES or key.startswith(IGNORED_PREFIXES):
            continue
        raise SettingsRefused(f"the environment variable {name} is not a setting{_suggest(key, sorted(known))}")


def _walk(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _suggest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; the settings are {', '.join(known)}"


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting{_suggest(where, known_names())}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
