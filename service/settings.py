"""Settings: flag > environment > file > default. An unknown name is refused with a suggestion."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.engine.encoders.limits import Limits
from service.engine.options import EngineOptions

PREFIX = "WINNOW_"
# Kubernetes injects the first two for a Service named winnow; the others belong to other verbs.
IGNORED_PREFIXES = ("WINNOW_SERVICE_", "WINNOW_PORT")
IGNORED_NAMES = ("WINNOW_DATA", "WINNOW_CONFIG", "WINNOW_API_KEY")
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


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


def _split(given: object) -> object:
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """As a browser sends them: no path, no slash at the end."""
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[a-z0-9.\[\]:_-]+", origin):
            raise ValueError(f"{origin!r} is not an origin, as in https://example.org or http://localhost:3000, nor *")
    return origins


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HttpSettings(_Section):
    """Where to listen, how long a shutdown may take, and how much patience a connection gets."""

    bind: Annotated[str, AfterValidator(_check_bind)] = "127.0.0.1:8000"
    """Address and port to listen on."""
    grace_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long SIGTERM waits for what was admitted."""
    keep_alive_seconds: Count = 5
    """How long an idle connection stays open; behind a load balancer more than its own idle time."""
    head_seconds: Seconds = 10.0
    """From the first byte of a request to the end of its headers."""
    body_seconds: Seconds = 60.0
    """For the whole body; 8 MiB in a minute are 1.1 Mbit/s."""
    stall_seconds: Seconds = 300.0
    """A reader that takes nothing for so long is cut off."""
    # With the hundred that are told so (connections.py) and the listener below 1,024, the usual soft limit of files.
    max_connections: Count = 800
    """Open connections; further ones get 503."""
    # In the environment with commas between them.
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_origins)] = ()
    """Origins whose pages may ask from a browser, with commas between them, * for all; none by default."""


class AuthSettings(_Section):
    """Who may ask; see service/http/keys.py."""

    keys_file: Path | None = None
    """File with a line a key, as `winnow keys new NAME` makes them; without it everybody may ask."""
    open_metrics: bool = False
    """Whether /metrics may be read without a key."""


class QuotaSettings(_Section):
    """The share of one key. A line of the keys file may say otherwise for its key."""

    requests_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Of one key; without it there is no bound."""
    burst: Count | None = None
    """Requests of one key at once after a pause; without it one second's worth."""
    rows_per_minute: Count | None = None
    """Samples and latents of one key; without it there is no bound."""
    concurrent: Count | None = None
    """Requests of one key in flight; without it there is no bound."""

    @model_validator(mode="after")
    def _burst_of_a_rate(self) -> QuotaSettings:
        if self.burst is not None and self.requests_per_second is None:
            raise ValueError("burst needs requests_per_second beside it")
        return self


class EngineSettings(_Section):
    """The device loop's dials; see EngineOptions."""

    threads: Count | None = None
    """CPU threads for torch; without it what the container may use."""
    loops: Annotated[int, Field(ge=1, le=8)] = EngineOptions.loops
    """Loops on each device: one prepares its batch while another runs. In metrics and waits each counts as a device."""
    batch_rows: Count | None = EngineOptions.batch_rows
    """Rows of one generator call; without it what the generator's arithmetic says."""
    proposal_block: Annotated[int, Field(ge=1, le=2**20)] = EngineOptions.proposal_block
    """Latents weighed in one call."""
    trace: bool = EngineOptions.trace
    """Run the generator as one call without Python's lock, where that gives the same bytes."""
    queue_requests: Count = EngineOptions.queue_requests
    """Requests that may wait."""
    queue_seconds: Annotated[float, Field(gt=0)] = EngineOptions.queue_seconds
    """Seconds that a request may have to wait for the others, under fair sharing."""
    queue_stretch: Annotated[float, Field(ge=0)] = EngineOptions.queue_stretch
    """So many times its own device time a request may have to wait besides."""
    result_bytes: Count = EngineOptions.result_bytes
    """Memory for answers that are held whole, all together."""
    outbox_bytes: Count = EngineOptions.outbox_bytes
    """Memory for rows of one streamed answer that wait for its reader."""
    pool_rows: Annotated[int, Field(ge=0)] = EngineOptions.pool_rows
    """Latents chosen ahead for each model, method and parameters in use; 0 for none."""


class LimitSettings(_Section):
    """What one request may ask for."""

    max_n: Count = 100_000
    """Samples of one request."""
    sheet_rows: Count = Limits.sheet_rows
    """Samples on a contact sheet or scatter plot."""
    sheet_bytes: Count = Limits.sheet_bytes
    """Bytes of pixels of a contact sheet before compression."""
    npz_bytes: Count = Limits.npz_bytes
    """Bytes of an npz answer before compression."""
    json_bytes: Count = Limits.json_bytes
    """Bytes of a JSON answer."""
    # Of a body: 20,000 latents of 100 numbers as npy. JSON of this size can take thirty times as much while it is read.
    body_bytes: Count = 8 * 2**20
    """Bytes of a request's body."""
    # The longest request of ours is far below a kilobyte; proxies add some fields of their own.
    target_bytes: Count = 8 * 2**10
    """Bytes of a request's path and query."""
    header_bytes: Count = 16 * 2**10
    """Bytes of a request's header fields."""
    header_count: Count = 100
    """Header fields of a request."""
    max_proposals_per_sample: Count = EngineOptions.max_proposals_per_sample
    """Proposals that a sample may cost on average; a method that needs more fails with `rejection_stalled`."""
    encoder_threads: Count = 2
    """Answers encoded at the same time, and as many small ones beside them."""


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
    # In the environment with commas between them.
    devices: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = EngineOptions.devices
    """Where networks run: `cpu`, `cuda:0`, `cuda:0,cuda:1`; `auto` is every CUDA device, or the CPU without one."""
    log: Literal["auto", "json", "pretty"] = "auto"
    """Form of the log lines; `auto` is `pretty` on a terminal and `json` elsewhere."""
    tracing: bool | None = None
    """Send OpenTelemetry traces (needs the extra `otel`); unless set, where OTEL_EXPORTER_OTLP_ENDPOINT is."""
    allow_rejected_weights: bool = False
    """Serve importance weights that the quality gate rejected; without it their methods are `method_unavailable`."""
    http: HttpSettings = HttpSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    auth: AuthSettings = AuthSettings()
    quota: QuotaSettings = QuotaSettings()

    @model_validator(mode="after")
    def _quotas_have_keys(self) -> Settings:
        if self.auth.keys_file is None and self.quota != QuotaSettings():
            raise ValueError("quota.* counts by key, so it needs auth.keys_file; `winnow keys new NAME` makes a key")
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
