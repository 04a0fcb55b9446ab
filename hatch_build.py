"""What a wheel holds beside the packages. An editable install reads the checkout itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the plugin that `sftgen new-plugin` writes beside the command."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built; `version` is `standard` or `editable`."""
        if version == "standard":
            template = Path(self.root) / "examples" / "sftgen-plugin-template"
            build_data["force_include"][str(template)] = "sftgen_train/cli/plugin_template"
