"""The one place that knows of versions of Pants; the other rooms read as for the current one."""
