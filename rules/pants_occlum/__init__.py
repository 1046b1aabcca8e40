# Before any other module of the plugin: what changes while those are loaded then counts as changed.
from pants_occlum.process import loaded_sources as loaded_sources

# And before those that an older Pants could not load.
from pants_occlum.compat import versions as versions  # isort: skip
