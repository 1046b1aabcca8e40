"""The table of run-time families: what programs open when they run, which no closure can find."""

from __future__ import annotations

from occlum_build.checks.families.java import JAVA
from occlum_build.checks.families.languages import LANGUAGES
from occlum_build.checks.families.libraries import LIBRARIES
from occlum_build.checks.families.servers import SERVERS
from occlum_build.checks.families.system import SYSTEM

FAMILIES = (*SYSTEM, *LANGUAGES, *JAVA, *SERVERS, *LIBRARIES)
