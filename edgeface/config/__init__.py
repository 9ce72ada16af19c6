"""Configuration: TOML file, environment and command line become one frozen `Config`.

`types` has every key with its range and its sentence, `cameras` and `places` theirs, `values` what keys share,
`loading` reads and overrides, `keys` knows what was meant by a key that is not there, `renames` which key had another
name, `privacy` what `[privacy]` forbids, `secrets` what is never shown, `addresses` how people write streams,
`programs` which cameras a program reads, `toml` how it is read and written. Unknown keys and values out of range are
errors that name the key.
"""

from edgeface.config.addresses import as_address
from edgeface.config.cameras import Camera
from edgeface.config.loading import CONFIG_PATHS, Given, find_config, load_config, parse_override
from edgeface.config.places import Attention, Line, Point, Zone
from edgeface.config.privacy import is_open, measures_attention, refused
from edgeface.config.programs import ONE_DEVICE, program_of, shared_device
from edgeface.config.secrets import (
    SERVED,
    at_rest,
    child_environ,
    hide_credentials,
    holds_password,
    mqtt_password,
    redacted,
)
from edgeface.config.toml import to_toml
from edgeface.config.types import (
    Commands,
    Config,
    Detector,
    HomeAssistant,
    Limits,
    Metrics,
    Mqtt,
    NetworkChoice,
    Node,
    Optimization,
    Privacy,
    ProviderChoice,
    Runtime,
    RuntimeName,
    ScheduleChoice,
    Spool,
    Visits,
)
from edgeface.config.values import Shape

__all__ = [
    "CONFIG_PATHS",
    "ONE_DEVICE",
    "Attention",
    "Camera",
    "Commands",
    "Config",
    "Detector",
    "Given",
    "HomeAssistant",
    "Limits",
    "Line",
    "Metrics",
    "Mqtt",
    "NetworkChoice",
    "Node",
    "Point",
    "Privacy",
    "Optimization",
    "ProviderChoice",
    "Runtime",
    "RuntimeName",
    "SERVED",
    "ScheduleChoice",
    "Shape",
    "Spool",
    "Visits",
    "Zone",
    "as_address",
    "at_rest",
    "child_environ",
    "find_config",
    "hide_credentials",
    "holds_password",
    "is_open",
    "load_config",
    "measures_attention",
    "mqtt_password",
    "parse_override",
    "program_of",
    "redacted",
    "refused",
    "shared_device",
    "to_toml",
]
