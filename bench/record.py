# SPDX-License-Identifier: Apache-2.0
"""results.json: one entry a row, kept from run to run until the row is measured again."""

import json
import os

DIGITS = 4


def entry(row, ratio, spread, command):
    """What is recorded of a row."""
    return {"id": row.id, "work": row.work, "peer": row.peer,
            "ratio": float(f"{ratio:.{DIGITS}g}"), "sense": row.sense, "least": row.least,
            "goal": row.goal, "spread": float(f"{spread:.{DIGITS}g}"), "command": command}


def merge(old, new):
    """Entries in their old order, new ones behind; of two with the same id the new one, with what
    else the old one had."""
    merged = {item["id"]: item for item in old}
    for item in new:
        merged[item["id"]] = {**merged.get(item["id"], {}), **item}
    return list(merged.values())


def update(path, new):
    """Merges entries into the file, which is replaced as a whole."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    unfinished = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_text(json.dumps(merge(old, new), indent=1, ensure_ascii=False) + "\n",
                          encoding="utf-8")
    os.replace(unfinished, path)
