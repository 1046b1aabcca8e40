"""What differs between versions of Pants; the other rooms read as for the current one."""
