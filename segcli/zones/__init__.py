"""Zones and lines of cameras: read from GeoJSON, drawn on a page, and compared with masks."""

from segcli.zones.geojson import parse_zones, read_zones, recorded_zones
from segcli.zones.of_output import zones_of_output
from segcli.zones.standing import ZonePass
from segcli.zones.zone import ZONES_FILE, Zone, Zones

__all__ = [
    "ZONES_FILE",
    "Zone",
    "ZonePass",
    "Zones",
    "parse_zones",
    "read_zones",
    "recorded_zones",
    "zones_of_output",
]
