"""Hooks: programs, on this machine or over SSH, and HTTP POSTs that accompany a run."""

from ioc.hooks.runner import HookRunner

__all__ = ["HookRunner"]
