"""API keys: a file with one line a key, which holds the hash of a secret and never the secret.

    # name:sha256-of-the-secret [admin] [option=value ...]
    alice:3139e71bd1a843895469da10cccb16b68dd5ecddab475e6ecdd9910db63f2994
    batch:0b3faad4369aff7e8e2b63b4b9af01e405d81c03808facc6a5e05a52ae089675 rows_per_minute=600000 concurrent=4
    operator:e8fc2def1187cf5af73e50a0b3d7a3ffa6c2e17abafb74860138b28924a2103d admin

The options are those of the setting ``quota`` and go before it. A secret of ours has 256 random bits, so neither salt
nor a slow hash would add anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe

from pydantic import ValidationError

from service.settings import QuotaSettings, SettingsRefused

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
ADMIN = "admin"
# Every request is compared with all of them: a thousand took 0.09 ms here.
MAX_KEYS = 1_000
SECRET_BYTES = 32
UNBOUNDED = QuotaSettings()


class KeysRefused(SettingsRefused):
    """A keys file that cannot be used; the message names the line and what to do, never what the line holds."""


@dataclass(frozen=True)
class Key:
    """``digest``: sha256 of the secret. ``admin``: may use /admin."""

    name: str
    digest: bytes
    admin: bool = False
    quota: QuotaSettings = UNBOUNDED


def load_keys(path: Path, default: QuotaSettings) -> tuple[Key, ...]:
    """The keys of a file; ``default`` is the quota of lines that say nothing else. Raises KeysRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KeysRefused(f"the keys file {path} is not text (UTF-8)") from error
    except OSError as error:
        raise KeysRefused(
            f"the keys file {path} cannot be read ({error.strerror}); mend it or unset auth.keys_file"
        ) from error
    return parse_keys(text, str(path), default)


def parse_keys(text: str, where: str, default: QuotaSettings = UNBOUNDED) -> tuple[Key, ...]:
    """The keys of a file's text. Raises KeysRefused for the first line that is wrong."""
    keys: dict[str, Key] = {}
    digests: dict[bytes, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        try:
            key = _parse_line(line, default)
            if key.name in keys:
                raise ValueError(f"the name {key.name} is taken; names are unique")
            if key.digest in digests:
                raise ValueError(f"{key.name} has the secret of {digests[key.digest]}; give each key its own")
        except ValueError as error:
            raise KeysRefused(f"{where}, line {number}: {error}") from error
        keys[key.name], digests[key.digest] = key, key.name
    if not keys:
        raise KeysRefused(f"{where} holds no key; `winnow keys new NAME` makes one, or unset auth.keys_file")
    if len(keys) > MAX_KEYS:
        raise KeysRefused(f"{where} holds {len(keys)} keys; at most {MAX_KEYS} are compared with every request")
    return tuple(keys.values())


def _parse_line(line: str, default: QuotaSettings) -> Key:
    """Raises ValueError, whose text quotes nothing that could be a secret."""
    head, *options = line.split()
    name, colon, digest = head.partition(":")
    if not (colon and NAME.fullmatch(name)):
        raise ValueError("a line begins with name:sha256, the name of up to 64 letters, digits, dots, dashes")
    if not DIGEST.fullmatch(digest):
        raise ValueError(
            f"after {name}: must stand the sha256 of the secret in 64 hex digits; `winnow keys new NAME` makes both"
        )
    given = dict(_parse_option(option) for option in options if option != ADMIN)
    if len(given) + options.count(ADMIN) != len(options) or options.count(ADMIN) > 1:
        raise ValueError(f"an option of {name} is given twice")
    return Key(name, bytes.fromhex(digest), ADMIN in options, _quota(name, {**default.model_dump(), **given}))


def _parse_option(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals or name not in QuotaSettings.model_fields:
        names = ", ".join(QuotaSettings.model_fields)
        raise ValueError(f"after name:sha256 may stand {ADMIN} and OPTION=NUMBER, with an option of {names}")
    return name, value


def _quota(name: str, values: dict[str, object]) -> QuotaSettings:
    try:
        return QuotaSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where or name}: {first['msg'].removeprefix('Value error, ')}") from error


def find_key(keys: tuple[Key, ...], secret: bytes) -> Key | None:
    """The key of ``secret``; the time tells neither whether there is one nor which it is."""
    digest, found = sha256(secret).digest(), None
    for key in keys:
        if compare_digest(key.digest, digest):
            found = key
    return found


def new_key(name: str, admin: bool = False) -> tuple[str, str]:
    """A fresh secret, and the line of the keys file for it. Raises KeysRefused."""
    secret = token_urlsafe(SECRET_BYTES)
    line = f"{name}:{sha256(secret.encode()).hexdigest()}{f' {ADMIN}' if admin else ''}"
    parse_keys(line, "a new key")
    return secret, line
