# Before any other module of the plugin: what changes while those are loaded then counts as changed.
from pants_occlum.util_rules import loaded_sources as loaded_sources
