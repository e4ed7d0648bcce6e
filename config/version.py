"""The version, where `--version` finds it without loading anything."""

VERSION = "0.1.0"
