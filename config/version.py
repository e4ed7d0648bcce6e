"""The version, where `--version` finds it without loading anything."""

VERSION = "0.2.0"
