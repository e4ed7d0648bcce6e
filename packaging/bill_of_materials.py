"""A bill of materials in CycloneDX form: every package that comes with cutoutd, version and digests as uv.lock says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from build_packages import dependencies
from release import version


def bill(packages: list[dict[str, Any]]) -> dict[str, Any]:
    """The document as plain data."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "cutoutd",
                "version": version(),
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            {
                "type": "library",
                "name": one["name"],
                "version": one["version"],
                "purl": f"pkg:pypi/{one['name']}@{one['version']}",
                "hashes": [
                    {"alg": "SHA-256", "content": file["hash"].removeprefix("sha256:")}
                    for file in [*([one["sdist"]] if "sdist" in one else []), *one.get("wheels", ())]
                ],
            }
            for one in packages
        ],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]) / f"cutoutd-{version()}.cdx.json"
    target.write_text(json.dumps(bill(dependencies()), indent=2) + "\n", encoding="utf-8")
