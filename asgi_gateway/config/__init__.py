"""The settings of a gateway, and how they are read from a file, the environment and a command line."""

from asgi_gateway.config.checks import mistakes_in
from asgi_gateway.config.file import extended, load_settings
from asgi_gateway.config.reader import Mistake
from asgi_gateway.config.settings import (
    ROOT,
    BillingSettings,
    ConfigurationError,
    IdentitySettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    PriceSettings,
    RateLimit,
    ResponsesSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    StorageSettings,
    TokenSettings,
    UserSettings,
)

__all__ = [
    "ROOT",
    "BillingSettings",
    "ConfigurationError",
    "IdentitySettings",
    "LimitSettings",
    "LogSettings",
    "Mistake",
    "ModelSettings",
    "PriceSettings",
    "RateLimit",
    "ResponsesSettings",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "TokenSettings",
    "UserSettings",
    "extended",
    "load_settings",
    "mistakes_in",
]
