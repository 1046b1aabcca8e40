# Before any other module of the plugin: what changes while those are loaded then counts as changed.
from pants_occlum.process import loaded_sources as loaded_sources
