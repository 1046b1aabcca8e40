"""Out of the build: bundles for rune and runc, and OCI image layouts."""
